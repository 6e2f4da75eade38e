// All completed trials over two figures that the reader chooses; the front stands out.

function hoverText(row, of = study()) {
  const told = of.table.columns
    .filter((each) => each.kind !== "text" && values(each.name, of)[row] !== null)
    .map((each) => escaped(`${each.title} ${quantity(values(each.name, of)[row], each)}`));
  const [own, parent, stage, status] = ["number", "parent", "stage", "status"].map((name) => values(name, of)[row]);
  const lines = [`<b>trial ${own}</b>, ${escaped(stage)}${parent === null ? "" : ` of ${parent}`}, ${status}`];
  for (let i = 0; i < told.length; i += 2) lines.push(told.slice(i, i + 2).join(", "));
  return lines.join("<br>");
}

// What is shown: two figures by name, their values, whether their scales are logarithmic, and the colours.
function frontView() {
  const names = figures().map((each) => each.name);
  const own = study().objectives.map((each) => each.name);
  const chosen = (key, fallback) => (names.includes(state[key]) ? state[key] : fallback);
  const x = chosen("x", own[1] || names.find((name) => name !== own[0]) || own[0]);
  const y = chosen("y", own[0]);
  const [logx, logy] = [isLog("logx", values(x)), isLog("logy", values(y))];
  const [xs, ys] = [placed(values(x), logx), placed(values(y), logy)];
  const rows = completed().filter((row) => typeof xs[row] === "number" && typeof ys[row] === "number");
  return { x, y, logx, logy, xs, ys, rows, shades: column(state.colour) ? values(state.colour) : null };
}

function frontControls(view) {
  const options = figures().map((each) => [each.name, axisTitle(each)]);
  const numeric = study().table.columns.filter((each) => each.kind !== "text" && isNumeric(each.name));
  const colours = [["", "stage"], ...numeric.map((each) => [each.name, axisTitle(each)])];
  show(
    "front-controls",
    select("across", "x", options, view.x, drawFront),
    select("up", "y", options, view.y, drawFront),
    select("colour", "colour", colours, state.colour || "", drawFront),
    check("logarithmic across", "logx", view.logx, drawFront),
    check("logarithmic up", "logy", view.logy, drawFront),
  );
}

function drawFront() {
  if (!completed().length) return noPlot("front-plot", "No trial has been completed yet.");
  const view = frontView();
  frontControls(view);
  const limits = [
    limitLine("x", column(view.x), view.logx, view.xs),
    limitLine("y", column(view.y), view.logy, view.ys),
  ];
  const [beyondX, beyondY] = limits.map((limit) => (limit ? [limit.at] : []));
  const bar = { ...scale(), colorbar: { title: { text: shadeTitle(), side: "right" }, thickness: 12 } };
  const traces = [edgeOf(view), ...pointsOf(view), ringsOf(view), roomFor(view, beyondX, beyondY)];
  const shown = limits.filter(Boolean);
  draw(
    "front-plot",
    traces,
    {
      xaxis: axis(axisTitle(column(view.x)), view.logx, [...values(view.x), ...beyondX]),
      yaxis: axis(axisTitle(column(view.y)), view.logy, [...values(view.y), ...beyondY]),
      shapes: shown.map((each) => each.shape),
      annotations: shown.map((each) => each.label),
      ...(view.shades ? { coloraxis: bar } : {}),
    },
    { zoom: true },
  );
  const place = byId("front-plot");
  place.removeAllListeners("plotly_click");
  place.on("plotly_click", (event) => openNetwork(event.points[0].customdata));
  byId("front-note").textContent = frontNote(view, limits);
}

const shadeTitle = () => (column(state.colour) ? axisTitle(column(state.colour)) : "");

// Points by stage: symbols tell the stages apart, size and opacity the front from the rest.
function pointsOf(view) {
  const [status, origin] = [values("status"), values("stage")];
  return stages().flatMap((stage, place) => {
    const reached = view.rows.some((row) => origin[row] === stage && status[row] === "front");
    return [false, true].map((onFront) => {
      const rows = view.rows.filter((row) => origin[row] === stage && (status[row] === "front") === onFront);
      const paint = view.shades
        ? { color: rows.map((row) => view.shades[row]), coloraxis: "coloraxis" }
        : { color: PALETTE[place % PALETTE.length] };
      const look = onFront
        ? { size: 11, opacity: 1, line: { width: 1, color: colour("--back") } }
        : { size: 7, opacity: 0.3 };
      return {
        type: "scatter",
        mode: "markers",
        name: escaped(stage),
        legendgroup: stage,
        x: rows.map((row) => view.xs[row]),
        y: rows.map((row) => view.ys[row]),
        text: rows.map((row) => hoverText(row)),
        customdata: rows.map((row) => values("number")[row]),
        hovertemplate: "%{text}<extra></extra>",
        marker: { symbol: SYMBOLS[place % SYMBOLS.length], ...look, ...paint },
        showlegend: rows.length > 0 && onFront === reached,
      };
    });
  });
}

function edgeOf(view) {
  const within = view.rows.filter((row) => ["front", "dominated"].includes(values("status")[row]));
  return {
    type: "scatter",
    mode: "lines",
    name: "front of these two",
    hoverinfo: "skip",
    ...steps(within.map((row) => [view.xs[row], view.ys[row]])),
    line: { shape: "hv", color: colour("--faint"), width: 1, dash: "dot" },
  };
}

function ringsOf(view) {
  const rows = study().picks.map((pick) => values("number").indexOf(pick.number));
  return {
    type: "scatter",
    mode: "markers",
    name: "choices",
    hoverinfo: "skip",
    x: rows.map((row) => view.xs[row]),
    y: rows.map((row) => view.ys[row]),
    marker: { symbol: "circle-open", size: 20, color: colour("--text"), line: { width: 2 } },
    showlegend: rows.length > 0,
  };
}

// Plotly leaves no room for lines of limits; for a point that nobody sees it does.
function roomFor(view, beyondX, beyondY) {
  const first = view.rows[0];
  return {
    type: "scatter",
    mode: "markers",
    x: first === undefined ? [] : [beyondX[0] ?? view.xs[first]],
    y: first === undefined ? [] : [beyondY[0] ?? view.ys[first]],
    marker: { opacity: 0 },
    hoverinfo: "skip",
    showlegend: false,
  };
}

function frontNote(view, limits) {
  const parts = [
    "Faded points are beaten in everything by another network. Rings are the choices of the summary.",
    "Click a point of the front to see its layers.",
  ];
  [view.x, view.y]
    .map((name) => column(name))
    .forEach((each, i) => {
      if (each.limit !== undefined && !limits[i])
        parts.push(`The limit on ${each.title}, ${quantity(each.limit, each)}, lies beyond the plot.`);
    });
  const hidden = (row) => (view.logx && values(view.x)[row] <= 0) || (view.logy && values(view.y)[row] <= 0);
  const zeros = view.rows.filter(hidden).length;
  if (zeros) parts.push(`${zeros} trials with a zero stand at the edge of the logarithmic scale.`);
  if ([view.x, view.y].includes("error")) parts.push("Errors are validation errors.");
  return parts.join(" ");
}
