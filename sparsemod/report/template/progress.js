// How the search went: hypervolume, stages, importance of parameters, and what was not completed.

function timeScale(seconds) {
  const longest = Math.max(0, ...seconds);
  if (longest < 300) return [1, "s"];
  return longest < 3 * 3600 ? [60, "min"] : [3600, "h"];
}

function growthTraces(growth, xs) {
  return stages().map((stage, place) => {
    const own = growth.stage
      .map((each, i) => [each, i])
      .filter(([each]) => each === stage)
      .map(([, i]) => i);
    const rows = own[0] > 0 ? [own[0] - 1, ...own] : own; // joined to the stage before
    return {
      type: "scatter",
      mode: "lines+markers",
      name: escaped(stage),
      x: rows.map((i) => xs[i]),
      y: rows.map((i) => growth.hypervolume[i]),
      text: rows.map((i) => `trial ${growth.number[i]}, ${escaped(growth.stage[i])}`),
      hovertemplate: "%{text}<br>hypervolume %{y:.4f}<extra></extra>",
      line: { shape: "hv", color: PALETTE[place % PALETTE.length], width: 2 },
      marker: {
        symbol: SYMBOLS[place % SYMBOLS.length],
        size: rows.length > 150 ? 3 : 5,
        color: PALETTE[place % PALETTE.length],
      },
    };
  });
}

// A dotted line where each stage after the first begins.
function stageLines(growth, xs) {
  return stages()
    .slice(1)
    .map((stage) => {
      const x = xs[growth.stage.indexOf(stage)];
      return {
        type: "line",
        x0: x,
        x1: x,
        y0: 0,
        y1: 1,
        yref: "paper",
        line: { color: colour("--faint"), dash: "dot", width: 1 },
      };
    });
}

function drawGrowth() {
  const growth = study().growth;
  if (!growth.number.length) {
    noPlot("growth-trials", "No trial has ended yet.");
    return noPlot("growth-time", "");
  }
  const [per, unit] = timeScale(growth.elapsed);
  for (const [id, xs, title] of [
    ["growth-trials", growth.number.map((_, i) => i + 1), "trials that have ended"],
    ["growth-time", growth.elapsed.map((seconds) => seconds / per), `time of the search (${unit})`],
  ])
    draw(
      id,
      growthTraces(growth, xs),
      {
        xaxis: { title: { text: title }, rangemode: "tozero" },
        yaxis: { title: { text: "hypervolume (share)" }, rangemode: "tozero" },
        shapes: stageLines(growth, xs),
      },
      { zoom: true },
    );
}

function drawStages() {
  const rows = study().stages.map((each) => [
    each.stage,
    number(each.trials),
    each.epochs,
    each.complete,
    each.infeasible,
    each.stopped,
    each.failed,
    (each.gain >= 0 ? "+" : "") + each.gain.toFixed(4),
    each.front,
    number(each.best_error),
    number(each.seconds),
  ]);
  show(
    "stages",
    plainTable(
      [
        "stage",
        "trials",
        "epochs",
        "complete",
        "infeasible",
        "stopped",
        "failed",
        "hypervolume gained",
        "on the front",
        "best validation error",
        "evaluation (s)",
      ],
      rows,
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    ),
  );
}

function drawImportance() {
  const found = study().importance;
  if (found.missing) {
    byId("importance-note").textContent = "";
    return noPlot("importance-plot", `Which parameters decide the error is not shown. ${found.missing}`);
  }
  const rows = found.rows.slice(0, 15).reverse();
  byId("importance-plot").style.height = `${Math.max(220, rows.length * 24 + 80)}px`;
  draw(
    "importance-plot",
    [
      {
        type: "bar",
        orientation: "h",
        x: rows.map((row) => row.mean),
        y: rows.map((row) => escaped(row.name)),
        error_x: { type: "data", array: rows.map((row) => row.std), color: colour("--faint"), thickness: 1.5 },
        marker: { color: PALETTE[0] },
        hovertemplate: "%{y}: %{x:.4f}<extra></extra>",
      },
    ],
    {
      xaxis: {
        title: {
          text: narrow()
            ? "loss of explained variance (R²)"
            : "loss of explained variance (R²) when the parameter is shuffled",
        },
      },
      yaxis: { title: { text: narrow() ? "" : "parameter", standoff: 12 }, tickfont: { size: 12 } },
    },
  );
  const fit = (100 * found.fit).toFixed(0);
  byId("importance-note").textContent = [
    `For the logarithm of the validation error, by random forests that explain ${fit} % of its variance`,
    `on trials they were not grown on (${found.trials} trials; lines: standard deviation over shuffles).`,
    "Importance says what this search has seen, not what causes what.",
  ].join(" ");
}

function drawReasons() {
  const rows = study().reasons;
  if (!rows.length) return show("reasons-table", note("Every trial that has ended was completed."));
  show(
    "reasons-table",
    plainTable(
      ["count", "status", "reason (numbers differ)", "such as trial"],
      rows.map((row) => [row.count, row.status, row.reason, row.number]),
      [0, 3],
    ),
  );
}
