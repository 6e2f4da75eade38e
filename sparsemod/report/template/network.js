// One network of the front at a time: what it consists of, needs, comes from and gets wrong.

const pages = () => study().networks.pages;
const currentPage = () => pages().find((page) => String(page.number) === state.network) || pages()[0];

function openNetwork(wanted) {
  if (!pages().some((page) => page.number === wanted)) return;
  remember("network", wanted);
  drawNetwork();
  byId("network").scrollIntoView();
}

function networkControls(page) {
  const turn = (by) => () => {
    const next = pages()[(pages().indexOf(page) + by + pages().length) % pages().length];
    remember("network", next.number);
    drawNetwork();
  };
  const label = (each) => {
    const row = values("number").indexOf(each.number), first = study().objectives[0];
    return `${each.number}: ${first.title} ${number(values(first.name)[row], first.unit)}`;
  };
  show("network-controls", select("network", "network", pages().map((each) => [String(each.number), label(each)]), page.number, drawNetwork),
    element("button", { type: "button", onclick: turn(-1) }, "previous"), element("button", { type: "button", onclick: turn(1) }, "next"));
}

function drawNetwork() {
  const found = study().networks;
  for (const plot of byId("network-page").querySelectorAll(".plot")) if (plot.data) Plotly.purge(plot);
  if (!found.pages.length) return show("network-page", element("p", { class: "note" }, found.missing || "There is no network on the front."));
  const page = currentPage(), row = values("number").indexOf(page.number);
  networkControls(page);
  const parts = [element("p", { id: "network-figures" }, accuracyText(page, row)), element("p", { class: "note" }, costsText(row))];
  if (found.left_out) parts.push(element("p", { class: "note" }, `${found.left_out} other networks of the front have no page; sparsemod score shows the layers of any of them.`));
  parts.push(element("h3", {}, "Ancestry"), element("div", { class: "scroll" }, ancestryTable(page)));
  if (page.missing) parts.push(element("p", { class: "note" }, page.missing));
  else parts.push(...layerParts(page));
  parts.push(...confusionParts(page), element("h3", {}, "Parameters"), element("p", { class: "note" },
    Object.entries(page.parameters).map(([name, value]) => `${name} ${number(value)}`).join(", ")));
  show("network-page", ...parts);
  if (!page.missing) { drawMemory(page); drawBytes(page); }
  if (page.confusion) drawConfusion(page);
}

const percent = (share) => `${(100 * share).toFixed(2)} %`;

function accuracyText(page, row) {
  const wrong = values("error")?.[row], test = values("test_error")?.[row];
  if (wrong === undefined || wrong === null) return "";
  const before = page.float_error === undefined ? "Accuracy before quantization was not recorded."
    : `Before quantization: ${percent(1 - page.float_error)}, so quantization changed it by ${(100 * (page.float_error - wrong)).toFixed(2)} points.`;
  const tested = test === undefined || test === null ? "" : ` Test accuracy, after it was trained again: ${percent(1 - test)}.`;
  return `Validation accuracy of the integer network: ${percent(1 - wrong)}. ${before}${tested}`;
}

const costsText = (row) => figures().filter((each) => !["error", "test_error"].includes(each.name) && values(each.name)[row] !== null)
  .map((each) => `${each.title} ${number(values(each.name)[row], each.unit)}${each.unit ? " " + each.unit : ""}`).join(", ");

function layerParts(page) {
  const rows = page.layers.map((each) => [each.name, each.kind, each.output, number(each.macs), number(each.params), number(each.nnz), percent(each.sparsity),
    each.weights, number(each.flash_bytes), number(each.alive_bytes), number(each.latency_ms), `${(100 * each.latency_share).toFixed(1)} %`]);
  return [
    element("h3", {}, "Layers"),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "layers" }, plainTable(["layer", "kind", "output", "MACs", "parameters", "non-zero", "zero weights", "stored as (bits)",
      "flash (bytes)", "RAM in use (bytes)", "latency (ms)", "of latency"], rows, [3, 4, 5, 6, 8, 9, 10, 11])),
    element("h3", {}, "Working memory, step by step"),
    element("p", { class: "note" }, `Each box is one buffer in the arena of ${number(page.memory.size)} bytes: as wide as it is needed, as high as it is large.`),
    element("div", { class: "plot", id: "memory-plot" }),
    element("h3", {}, "Flash by layer"),
    element("div", { class: "plot", id: "bytes-plot" }),
  ];
}

const shortened = (name) => (name.length > 22 ? "…" + name.slice(-21) : name);

function drawMemory(page) {
  const { buffers, steps: names, size } = page.memory;
  const named = buffers.map((each) => escaped(each.holds.join(", then ")));
  draw("memory-plot", [{ type: "bar", x: buffers.map((each) => (each.born + each.dies) / 2), width: buffers.map((each) => each.dies - each.born + 0.96),
    base: buffers.map((each) => each.start), y: buffers.map((each) => each.size), text: named, textposition: "inside", insidetextanchor: "middle", constraintext: "both", textangle: 0,
    customdata: buffers.map((each) => [each.size, each.start, names[each.born], names[each.dies]]),
    hovertemplate: "%{text}<br>%{customdata[0]:,} bytes from %{customdata[1]:,}<br>needed from %{customdata[2]} to %{customdata[3]}<extra></extra>",
    marker: { color: buffers.map((_, i) => PALETTE[i % PALETTE.length]), line: { width: 1, color: colour("--back") } } }],
    { barmode: "overlay", showlegend: false, uniformtext: { minsize: 9, mode: "hide" },
      xaxis: { title: { text: "operator, in order of execution" }, tickmode: "array", tickvals: names.map((_, i) => i), ticktext: names.map(shortened), range: [-0.5, names.length - 0.5] },
      yaxis: { title: { text: "place in the arena (bytes)" }, range: [0, size * 1.05] } });
}

function drawBytes(page) {
  const rows = page.layers.filter((each) => each.flash_bytes).reverse();
  if (!rows.length) return noPlot("bytes-plot", "No layer stores anything.");
  byId("bytes-plot").style.height = `${rows.length * 28 + 90}px`;
  draw("bytes-plot", [{ type: "bar", orientation: "h", x: rows.map((each) => each.flash_bytes), y: rows.map((_, i) => i), text: rows.map((each) => number(each.flash_bytes)), textposition: "auto",
    customdata: rows.map((each) => `${escaped(each.name)}: ${each.weights}`), hovertemplate: "%{customdata}<br>%{x:,} bytes<extra></extra>", marker: { color: PALETTE[0] } }],
    { xaxis: { title: { text: "flash (bytes)" } }, yaxis: { tickmode: "array", tickvals: rows.map((_, i) => i), ticktext: rows.map((each) => shortened(each.name)) } });
}

function confusionParts(page) {
  const heading = element("h3", {}, "Confusion on the validation split");
  if (page.confusion) {
    const recorded = values("error")?.[values("number").indexOf(page.number)];
    const same = recorded === undefined || Math.abs(page.measured_error - recorded) < 1e-5;
    const warning = same ? "" : ` They give an error of ${number(page.measured_error)} but ${number(recorded)} was recorded: the data is not that of the search.`;
    return [heading, element("p", { class: "note" }, `How often each class was taken for which, by the integer network.${warning}`), element("div", { class: "plot", id: "confusion-plot" })];
  }
  if (page.missing) return [];
  return [heading, element("p", { class: "note" }, page.not_run || `Left out, since the data cannot be reached from here: ${study().no_data}`)];
}

function drawConfusion(page) {
  const counts = page.confusion, names = counts.map((_, k) => String(k)), many = counts.length > 20;
  byId("confusion-plot").style.maxWidth = "640px";
  draw("confusion-plot", [{ type: "heatmap", z: counts.map((row) => row.map((count) => Math.log10(count + 1))), x: names, y: names,
    text: counts, texttemplate: many ? "" : "%{text}", hovertemplate: "class %{y} taken for %{x}: %{text}<extra></extra>", showscale: false,
    colorscale: [[0, colour("--card")], [1, PALETTE[0]]] }],
    { xaxis: { title: { text: "found class" }, type: "category" }, yaxis: { title: { text: "true class" }, type: "category", autorange: "reversed" } });
}

function ancestryTable(page) {
  const names = study().objectives;
  const rows = page.ancestry.map((each) => [each.number, each.stage, each.epochs, ...names.map((name) => number(each.score[name.name], name.unit)), each.changed.join(", ") || (each === page.ancestry[0] ? "began anew" : "nothing: trained on")]);
  return plainTable(["trial", "stage", "epochs", ...names.map(axisTitle), "changed"], rows, [0, 2, ...names.map((_, i) => i + 3)]);
}
