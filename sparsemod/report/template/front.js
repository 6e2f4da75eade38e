// All completed trials over two figures that the reader chooses; the front stands out.

function hoverText(row, of = study()) {
  const told = of.table.columns.filter((each) => each.kind !== "text" && values(each.name, of)[row] !== null)
    .map((each) => `${escaped(each.title)} ${escaped(number(values(each.name, of)[row], each.unit))}${each.unit && each.unit !== "share" ? " " + each.unit : ""}`);
  const parent = values("parent", of)[row];
  const head = `<b>trial ${values("number", of)[row]}</b>, ${escaped(values("stage", of)[row])}${parent === null ? "" : ` of ${parent}`}, ${values("status", of)[row]}`;
  const lines = [];
  for (let i = 0; i < told.length; i += 2) lines.push(told.slice(i, i + 2).join(", "));
  return [head, ...lines].join("<br>");
}

function frontAxes() {
  const names = figures().map((each) => each.name);
  const own = study().objectives.map((each) => each.name);
  const pick = (key, fallback) => (names.includes(state[key]) ? state[key] : fallback);
  return { x: pick("x", own[1] || names.find((name) => name !== own[0]) || own[0]), y: pick("y", own[0]) };
}

function frontControls() {
  const axes = frontAxes();
  const options = figures().map((each) => [each.name, axisTitle(each)]);
  const numeric = study().table.columns.filter((each) => each.kind !== "text" && isNumeric(each.name));
  show("front-controls",
    select("across", "x", options, axes.x, drawFront), select("up", "y", options, axes.y, drawFront),
    select("colour", "colour", [["", "stage"], ...numeric.map((each) => [each.name, axisTitle(each)])], state.colour || "", drawFront),
    check("logarithmic across", "logx", isLog("logx", values(axes.x)), drawFront),
    check("logarithmic up", "logy", isLog("logy", values(axes.y)), drawFront));
}

function drawFront() {
  if (!completed().length) return noPlot("front-plot", "No trial has been completed yet.");
  frontControls();
  const axes = frontAxes(), status = values("status"), origin = values("stage");
  const [logx, logy] = [isLog("logx", values(axes.x)), isLog("logy", values(axes.y))];
  const [xs, ys] = [placed(values(axes.x), logx), placed(values(axes.y), logy)];
  const shades = state.colour && column(state.colour) ? values(state.colour) : null;
  const rows = completed().filter((row) => typeof xs[row] === "number" && typeof ys[row] === "number");
  const traces = [];
  stages().forEach((stage, place) => {
    for (const onFront of [false, true]) {
      const chosen = rows.filter((row) => origin[row] === stage && (status[row] === "front") === onFront);
      const paint = shades ? { color: chosen.map((row) => shades[row]), coloraxis: "coloraxis" } : { color: PALETTE[place % PALETTE.length] };
      const look = onFront ? { size: 11, opacity: 1, line: { width: 1, color: colour("--back") } } : { size: 7, opacity: 0.3 };
      traces.push({ type: "scatter", mode: "markers", name: stage + (onFront ? ", front" : ""), legendgroup: stage,
        x: chosen.map((row) => xs[row]), y: chosen.map((row) => ys[row]), text: chosen.map((row) => hoverText(row)),
        customdata: chosen.map((row) => values("number")[row]), hovertemplate: "%{text}<extra></extra>",
        marker: { symbol: SYMBOLS[place % SYMBOLS.length], ...look, ...paint }, visible: chosen.length ? true : "legendonly", showlegend: chosen.length > 0 });
    }
  });
  const within = rows.filter((row) => status[row] === "front" || status[row] === "dominated");
  traces.unshift({ type: "scatter", mode: "lines", name: "front of these two", hoverinfo: "skip",
    ...steps(within.map((row) => [xs[row], ys[row]])), line: { shape: "hv", color: colour("--faint"), width: 1, dash: "dot" } });
  traces.push(pickRings(xs, ys));
  const limits = [limitLine("x", column(axes.x), logx, xs), limitLine("y", column(axes.y), logy, ys)].filter(Boolean);
  drawn(axes, traces, limits, { logx, logy, shades });
  const zeros = rows.filter((row) => (logx && values(axes.x)[row] <= 0) || (logy && values(axes.y)[row] <= 0)).length;
  byId("front-note").textContent =
    "Faded points are beaten in everything by another network. Rings are the choices of the summary. Click a point of the front to see its layers." +
    (zeros ? ` ${zeros} trials with a zero stand at the edge of the logarithmic scale.` : "") +
    (axes.x === "error" || axes.y === "error" ? " Errors are validation errors." : "");
}

function pickRings(xs, ys) {
  const at = study().picks.map((pick) => values("number").indexOf(pick.number));
  return { type: "scatter", mode: "markers", name: "choices", hoverinfo: "skip", x: at.map((row) => xs[row]), y: at.map((row) => ys[row]),
    marker: { symbol: "circle-open", size: 20, color: colour("--text"), line: { width: 2 } }, showlegend: at.length > 0 };
}

function drawn(axes, traces, limits, { logx, logy, shades }) {
  // Plotly gives lines of shapes no room: points that nobody sees do.
  const edge = (axis) => limits.filter((each) => axis in each.label && each.label[`${axis}ref`] !== "paper").map((each) => each.point);
  const [beyondX, beyondY] = [edge("x"), edge("y")];
  const some = (list) => list.find((value) => typeof value === "number");
  const first = traces.find((trace) => trace.x.length);
  if (first && (beyondX.length || beyondY.length))
    traces.push({ type: "scatter", mode: "markers", x: [beyondX[0] ?? some(first.x)], y: [beyondY[0] ?? some(first.y)],
      marker: { opacity: 0 }, hoverinfo: "skip", showlegend: false });
  const bar = shades ? { coloraxis: { ...scale(), colorbar: { title: { text: axisTitle(column(state.colour)), side: "right" }, thickness: 12 } } } : {};
  draw("front-plot", traces, {
    xaxis: axis(axisTitle(column(axes.x)), logx, [...values(axes.x), ...beyondX]),
    yaxis: axis(axisTitle(column(axes.y)), logy, [...values(axes.y), ...beyondY]),
    shapes: limits.map((each) => each.shape), annotations: limits.map((each) => each.label), ...bar,
  }, { zoom: true });
  const place = byId("front-plot");
  place.removeAllListeners("plotly_click");
  place.on("plotly_click", (event) => openNetwork(event.points[0].customdata));
}
