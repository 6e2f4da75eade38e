// How every plot looks: colours of the theme, axes with units, and zeros on logarithmic scales.

function layout(changes = {}) {
  const axis = {
    gridcolor: colour("--line"),
    linecolor: colour("--faint"),
    zeroline: false,
    automargin: true,
    separatethousands: true,
    exponentformat: "none",
  };
  const { xaxis, yaxis, ...rest } = changes;
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--text"), size: 13, family: "system-ui, sans-serif" },
    margin: { l: narrow() ? 50 : 70, r: 16, t: 16, b: 50 },
    hoverlabel: {
      align: "left",
      bgcolor: colour("--card"),
      bordercolor: colour("--line"),
      font: { color: colour("--text") },
    },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--faint"), activecolor: colour("--text") },
    ...rest,
    xaxis: { ...axis, ...xaxis },
    yaxis: { ...axis, ...yaxis },
  };
}

// Nothing leaves the page: Plotly's button that sends a chart to a server is not among those offered.
const BUTTONS = [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]];

function draw(id, traces, changes = {}, { zoom = false } = {}) {
  const place = byId(id);
  place.classList.remove("empty");
  if (!place.data) place.replaceChildren();
  place.setAttribute("role", "figure");
  place.setAttribute("aria-label", ["yaxis", "xaxis"].map((each) => changes[each]?.title?.text || "").join(" by "));
  return Plotly.react(place, traces, layout(changes), {
    displaylogo: false,
    responsive: true,
    plotlyServerURL: "",
    modeBarButtons: BUTTONS,
    displayModeBar: zoom && !narrow(),
  });
}

// Instead of a plot: why there is none.
function noPlot(id, text) {
  const place = byId(id);
  if (place.data) Plotly.purge(place);
  place.classList.add("empty");
  place.replaceChildren(note(text));
}

// Good values stand out from the background in both themes, bad ones fade into it.
// One hue that only grows lighter or darker reads the same with any kind of colour blindness.
function scale() {
  const shades = dark() ? ["#ffe39a", "#b98a2f", "#4a4f57"] : ["#00305f", "#5b9bc8", "#d3dae1"];
  return { colorscale: shades.map((shade, i) => [i / 2, shade]) };
}

const positive = (list) => list.filter((value) => typeof value === "number" && value > 0);

// Whether a logarithmic scale shows more: all values above zero, over more than a factor of twenty.
function spreads(list) {
  const known = list.filter((value) => typeof value === "number");
  return known.length > 1 && Math.min(...known) > 0 && Math.max(...known) > 20 * Math.min(...known);
}

// Values for a logarithmic axis; zero stands at half the smallest other value.
function placed(list, logarithmic) {
  if (!logarithmic) return list;
  const least = Math.min(...positive(list)) / 2;
  return list.map((value) => (typeof value === "number" && value <= 0 ? least : value));
}

const isLog = (key, list) => (key in state ? state[key] === "1" : spreads(list)) && positive(list).length > 0;

// A logarithmic axis with whole labels at 1, 2 and 5, or at powers of ten alone over many of them; or a linear one.
function axis(title, logarithmic, list) {
  if (!logarithmic) return { title: { text: title }, type: "linear" };
  const [low, high] = [Math.min(...positive(list)), Math.max(...positive(list))];
  const digits = high / low > (narrow() ? 50 : 1000) ? [1] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.log10(high) + 1; power++)
    for (const digit of digits) ticks.push(Number(`${digit}e${power}`));
  return {
    title: { text: title },
    type: "log",
    tickmode: "array",
    tickvals: ticks,
    ticktext: ticks.map((tick) => number(tick)),
  };
}

// The steps below and left of which no point lies, as a line: the front as two axes show it.
function steps(points) {
  const kept = [];
  for (const point of [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]))
    if (!kept.length || point[1] < kept.at(-1)[1]) kept.push(point);
  return { x: kept.map((point) => point[0]), y: kept.map((point) => point[1]) };
}

// A dashed line where a hard limit lies; null if there is none, or if it is so far away that the points would shrink.
function limitLine(axis, each, logarithmic, list) {
  const known = list.filter((value) => typeof value === "number");
  if (each.limit === undefined || !known.length || (!logarithmic && each.limit > 4 * Math.max(...known))) return null;
  const across = axis === "x" ? "y" : "x";
  const paper = { [`${across}ref`]: "paper" };
  const turned = axis === "x" ? { yanchor: "top", textangle: -90 } : { yanchor: "bottom" };
  return {
    at: each.limit,
    shape: {
      type: "line",
      [`${axis}0`]: each.limit,
      [`${axis}1`]: each.limit,
      [`${across}0`]: 0,
      [`${across}1`]: 1,
      ...paper,
      line: { color: colour("--faint"), dash: "dash", width: 1.5 },
    },
    label: {
      [axis]: logarithmic ? Math.log10(each.limit) : each.limit,
      [across]: 1,
      ...paper,
      text: `limit ${quantity(each.limit, each)}`,
      showarrow: false,
      xanchor: "right",
      ...turned,
      font: { color: colour("--faint"), size: 12 },
    },
  };
}
