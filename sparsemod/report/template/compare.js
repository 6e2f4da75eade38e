// Several studies in one plot each, judged by what they share.

const DASHES = ["solid", "dash", "dot", "dashdot"];

function sharedFigures() {
  return figures(report.studies[0]).filter((each) => report.studies.every((of) => column(each.name, of)));
}

function drawComparison() {
  const found = report.comparison;
  if (!found) return;
  byId("compare").hidden = false;
  drawFronts();
  if (found.missing) {
    noPlot("compare-growth", found.missing);
    return;
  }
  const traces = found.curves.map((growth, place) => ({
    type: "scatter",
    mode: "lines",
    name: escaped(report.studies[place].name),
    x: growth.number.map((_, i) => i + 1),
    y: growth.hypervolume,
    line: {
      shape: "hv",
      color: PALETTE[place % PALETTE.length],
      width: 2,
      dash: DASHES[place % DASHES.length],
    },
  }));
  draw("compare-growth", traces, {
    xaxis: { title: { text: "trials that have ended" } },
    yaxis: { title: { text: "hypervolume (share)" }, rangemode: "tozero" },
  });
  const best = found.objectives.map((name) => column(name, report.studies[0]) || { name, title: name, unit: "" });
  show(
    "compare-table",
    plainTable(
      [
        "study",
        "device",
        "trials",
        "time",
        "on the front",
        "hypervolume",
        ...best.map((each) => `smallest ${axisTitle(each)}`),
        "choices",
      ],
      found.rows.map((row) => [
        row.name,
        row.device,
        number(row.trials),
        row.time,
        row.front,
        row.hypervolume.toFixed(4),
        ...best.map((each) => number(row.best[each.name], each.unit)),
        Object.entries(row.picks)
          .map(([why, which]) => `${why} ${which}`)
          .join(", "),
      ]),
      [2, 4, 5, ...best.map((_, i) => i + 6)],
    ),
  );
  const point = best.map((each) => `${each.title} ${number(found.reference[each.name], each.unit)}`).join(", ");
  byId("compare-note").textContent =
    `All hypervolumes are shares of one box, between zero and the largest reference values of the studies: ${point}. ` +
    (found.same_limits ? "" : "The studies have different limits; each front keeps to its own. ") +
    "Errors are validation errors; they compare only where the studies share a validation split.";
}

function drawFronts() {
  const shared = sharedFigures();
  if (!shared.length) return noPlot("compare-front", "The studies have no figure in common.");
  const names = shared.map((each) => each.name);
  const own = names.filter((name) => study().objectives.some((each) => each.name === name));
  const pick = (key, fallback) => (names.includes(state[key]) ? state[key] : fallback);
  const [x, y] = [pick("cx", own[1] || names[1] || names[0]), pick("cy", own[0] || names[0])];
  const options = shared.map((each) => [each.name, axisTitle(each)]);
  show("compare-controls", select("across", "cx", options, x, drawFronts), select("up", "cy", options, y, drawFronts));
  const all = (name) => report.studies.flatMap((of) => values(name, of));
  const [logx, logy] = [spreads(all(x)), spreads(all(y))];
  const traces = report.studies.map((of, place) => {
    const rows = completed(of).filter((row) => values("status", of)[row] === "front");
    const points = rows.map((row) => [values(x, of)[row], values(y, of)[row], row]).sort((a, b) => a[0] - b[0]);
    return {
      type: "scatter",
      mode: "markers",
      name: escaped(of.name),
      x: points.map((point) => point[0]),
      y: points.map((point) => point[1]),
      text: points.map((point) => hoverText(point[2], of)),
      hovertemplate: "%{text}<extra></extra>",
      marker: {
        symbol: SYMBOLS[place % SYMBOLS.length],
        color: PALETTE[place % PALETTE.length],
        size: 9,
        opacity: 0.85,
      },
    };
  });
  const edges = traces.map((trace, place) => ({
    type: "scatter",
    mode: "lines",
    hoverinfo: "skip",
    showlegend: false,
    ...steps(trace.x.map((value, i) => [value, trace.y[i]])),
    line: {
      shape: "hv",
      width: 1.5,
      color: PALETTE[place % PALETTE.length],
      dash: DASHES[place % DASHES.length],
    },
  }));
  draw(
    "compare-front",
    [...edges, ...traces],
    {
      xaxis: axis(axisTitle(shared.find((each) => each.name === x)), logx, all(x)),
      yaxis: axis(axisTitle(shared.find((each) => each.name === y)), logy, all(y)),
    },
    { zoom: true },
  );
}
