// Parallel coordinates: what is brushed there is what the table shows.

let brushed = null; // rows that every brush keeps; null without brushes

const objectiveNames = () => study().objectives.map((each) => each.name);
const parameterNames = () =>
  study()
    .table.columns.filter((each) => each.kind === "parameter")
    .map((each) => each.name);

// Axes that were chosen; else the objectives and the six most important parameters.
function parallelNames() {
  const all = [...objectiveNames(), ...parameterNames()];
  if (state.axes) return all.filter((name) => state.axes.split(",").includes(name));
  const important = (study().importance.rows || []).map((row) => row.name);
  const ranked = parameterNames().sort((a, b) => rank(important, a) - rank(important, b));
  return [...objectiveNames(), ...ranked.slice(0, 6)];
}

const rank = (list, name) => (list.includes(name) ? list.indexOf(name) : list.length);

// One axis: numbers as they are or as logarithms, choices by position, and a place below all for what is not active.
function dimension(name, rows) {
  const raw = rows.map((row) => values(name)[row]);
  const known = raw.filter((value) => value !== null);
  const label = escaped(axisTitle(column(name)));
  if (!known.every((value) => typeof value === "number")) {
    const options = [...new Set(known.map(String))].sort();
    return withMissing(
      label,
      raw.map((value) => (value === null ? null : options.indexOf(String(value)))),
      options.map((_, i) => i),
      options.map((option) => ({ true: "yes", false: "no" })[option] || escaped(option)),
    );
  }
  const logarithmic =
    column(name).kind === "parameter" ? column(name).log && positive(known).length === known.length : spreads(known);
  const list = logarithmic ? raw.map((value) => (value === null ? null : Math.log10(value))) : raw;
  const ticks = niceTicks(Math.min(...known), Math.max(...known), logarithmic);
  return withMissing(
    label,
    list,
    ticks.map((tick) => (logarithmic ? Math.log10(tick) : tick)),
    ticks.map((tick) => number(tick)),
  );
}

function withMissing(label, list, tickvals, ticktext) {
  const known = list.filter((value) => value !== null);
  let [low, high] = [Math.min(...known), Math.max(...known)];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  if (known.length === list.length) return { label, values: list, tickvals, ticktext, range: [low, high] };
  const below = low - 0.15 * (high - low);
  return {
    label,
    values: list.map((value) => (value === null ? below : value)),
    tickvals: [below, ...tickvals],
    ticktext: ["none", ...ticktext],
    range: [below, high],
  };
}

function niceTicks(low, high, logarithmic) {
  if (low === high) return [low];
  if (!logarithmic) {
    const whole = Number.isInteger(low) && Number.isInteger(high);
    const step = whole ? Math.ceil((high - low) / 4) : (high - low) / 4;
    const ticks = [];
    for (let tick = low; tick < high - step / 4; tick += step) ticks.push(tick);
    return [...ticks, high];
  }
  const inside = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const digit of [1, 2, 5]) inside.push(Number(`${digit}e${power}`));
  const between = inside.filter((tick) => tick > low * 1.2 && tick < high / 1.2);
  const powers = between.filter((tick) => tick.toExponential().startsWith("1e"));
  return [low, ...(between.length > 5 ? powers : between), high];
}

function drawParallel() {
  brushed = null;
  const rows = completed();
  if (!rows.length) return noPlot("parallel-plot", "No trial has been completed yet.");
  const names = parallelNames();
  parallelControls(names);
  if (!hasWebGL())
    return noPlot(
      "parallel-plot",
      "This plot needs WebGL, which this browser has not or has switched off. The filter of the table does the same, " +
        "such as: error<0.05 batch_size>32",
    );
  const shades = values(study().objectives[0].name);
  const logarithmic = spreads(rows.map((row) => shades[row]));
  const line = { color: rows.map((row) => (logarithmic ? Math.log10(shades[row]) : shades[row])), ...scale() };
  byId("parallel-plot").style.minWidth = `${names.length * 92}px`;
  draw(
    "parallel-plot",
    [
      {
        type: "parcoords",
        line,
        dimensions: names.map((name) => dimension(name, rows)),
        labelangle: -18,
        labelfont: { size: 12 },
        tickfont: { size: 11 },
        rangefont: { size: 1, color: "rgba(0,0,0,0)" },
      },
    ],
    { margin: { l: 80, r: 60, t: 90, b: 20 } },
  );
  const place = byId("parallel-plot");
  place.setAttribute("aria-label", "parallel coordinates; the filter of the table does the same by keyboard");
  place.removeAllListeners("plotly_restyle");
  place.on("plotly_restyle", () => {
    brushed = kept(place.data[0].dimensions, rows);
    brushNote(rows.length);
    drawTable();
  });
  brushNote(rows.length);
}

// Rows whose value lies within a brush of every brushed axis.
function kept(dimensions, rows) {
  const brushes = dimensions
    .filter((each) => each.constraintrange && each.constraintrange.length)
    .map((each) => [
      each.values,
      Array.isArray(each.constraintrange[0]) ? each.constraintrange : [each.constraintrange],
    ]);
  if (!brushes.length) return null;
  return new Set(
    rows.filter((_, i) =>
      brushes.every(([list, ranges]) => ranges.some(([low, high]) => low <= list[i] && list[i] <= high)),
    ),
  );
}

function brushNote(count) {
  const first = study().objectives[0];
  show(
    "parallel-note",
    brushed ? `${brushed.size} of ${count} lines pass through all brushes. ` : countNote(count),
    `Lines stand out the more, the smaller the ${first.title} is. "none" is where a parameter is not active.`,
  );
}

// The summary counts all completed trials: those that were trained on, too.
function countNote(count) {
  const trainedOn = values("status").filter((each) => each === "trained on").length;
  return trainedOn
    ? `${count} lines; ${trainedOn} other completed trials were trained on later and have no line of their own. `
    : `${count} completed trials. `;
}

function parallelControls(names) {
  const offered = [...objectiveNames(), ...parameterNames()];
  const open = byId("parallel-axes")?.open;
  const changed = () => {
    remember("axes", [...byId("parallel-axes").querySelectorAll("input:checked")].map((box) => box.value).join(","));
    drawParallel();
    drawTable();
  };
  show(
    "parallel-controls",
    element(
      "button",
      {
        type: "button",
        id: "clear-brushes",
        onclick: () => {
          drawParallel();
          drawTable();
        },
      },
      "clear brushes",
    ),
    element(
      "details",
      { id: "parallel-axes", open },
      element("summary", {}, "choose axes"),
      element(
        "div",
        { class: "checks" },
        ...offered.map((name) =>
          element(
            "label",
            {},
            element("input", { type: "checkbox", value: name, checked: names.includes(name), onchange: changed }),
            column(name).title,
          ),
        ),
      ),
    ),
  );
}

function hasWebGL() {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
}
