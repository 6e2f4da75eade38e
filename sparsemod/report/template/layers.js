// The layers of one network: a table, the memory each step needs, and the bytes each takes of the flash.

const LAYER_COLUMNS = [
  ["layer", (each) => each.name],
  ["kind", (each) => each.kind],
  ["output", (each) => each.output],
  ["stored as (bits)", (each) => each.weights],
  ["MACs", (each) => number(each.macs)],
  ["parameters", (each) => number(each.params)],
  ["non-zero", (each) => number(each.nnz)],
  ["zero weights", (each) => percent(each.sparsity)],
  ["flash (bytes)", (each) => number(each.flash_bytes)],
  ["RAM in use (bytes)", (each) => number(each.alive_bytes)],
  ["latency (ms)", (each) => number(each.latency_ms)],
  ["of latency", (each) => percent(each.latency_share)],
];

function layerParts(page) {
  const rows = page.layers.map((each) => LAYER_COLUMNS.map(([, told]) => told(each)));
  const titles = LAYER_COLUMNS.map(([title]) => title);
  const numeric = LAYER_COLUMNS.map((_, i) => i).slice(4);
  const size = number(page.memory.size);
  return [
    element("h3", {}, "Layers"),
    element(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "layers" },
      plainTable(titles, rows, numeric),
    ),
    element("h3", {}, "Working memory, step by step"),
    note(`Each box is a buffer in the arena of ${size} bytes: as wide as it is needed, as high as it is large.`),
    element("div", { class: "plot", id: "memory-plot" }),
    element("h3", {}, "Flash by layer"),
    element("div", { class: "plot", id: "bytes-plot" }),
  ];
}

const shortened = (name) => (name.length > 22 ? "…" + name.slice(-21) : name);

function drawMemory(page) {
  const { buffers, steps: names, size } = page.memory;
  const told = [
    "%{text}",
    "%{customdata[0]:,} bytes from %{customdata[1]:,}",
    "needed from %{customdata[2]} to %{customdata[3]}<extra></extra>",
  ];
  const boxes = {
    type: "bar",
    x: buffers.map((each) => (each.born + each.dies) / 2),
    width: buffers.map((each) => each.dies - each.born + 0.96),
    base: buffers.map((each) => each.start),
    y: buffers.map((each) => each.size),
    text: buffers.map((each) => escaped(each.holds.join(", then "))),
    textposition: "inside",
    insidetextanchor: "middle",
    textangle: 0,
    customdata: buffers.map((each) => [each.size, each.start, escaped(names[each.born]), escaped(names[each.dies])]),
    hovertemplate: told.join("<br>"),
    marker: { color: buffers.map((_, i) => PALETTE[i % PALETTE.length]), line: { width: 1, color: colour("--back") } },
  };
  draw("memory-plot", [boxes], {
    barmode: "overlay",
    showlegend: false,
    uniformtext: { minsize: 9, mode: "hide" },
    xaxis: {
      title: { text: "operator, in order of execution" },
      tickmode: "array",
      tickvals: names.map((_, i) => i),
      ticktext: names.map((name) => escaped(shortened(name))),
      range: [-0.5, names.length - 0.5],
    },
    yaxis: { title: { text: "place in the arena (bytes)" }, range: [0, size * 1.05] },
  });
}

function drawBytes(page) {
  const rows = page.layers.filter((each) => each.flash_bytes).reverse();
  if (!rows.length) return noPlot("bytes-plot", "No layer stores anything.");
  byId("bytes-plot").style.height = `${rows.length * 28 + 90}px`;
  const bars = {
    type: "bar",
    orientation: "h",
    x: rows.map((each) => each.flash_bytes),
    y: rows.map((_, i) => i),
    text: rows.map((each) => number(each.flash_bytes)),
    textposition: "auto",
    customdata: rows.map((each) => `${escaped(each.name)}: ${each.weights}`),
    hovertemplate: "%{customdata}<br>%{x:,} bytes<extra></extra>",
    marker: { color: PALETTE[0] },
  };
  const names = rows.map((each) => escaped(shortened(each.name)));
  draw("bytes-plot", [bars], {
    xaxis: { title: { text: "flash (bytes)" } },
    yaxis: {
      title: { text: narrow() ? "" : "layer", standoff: 12 },
      tickmode: "array",
      tickvals: rows.map((_, i) => i),
      ticktext: names,
    },
  });
}
