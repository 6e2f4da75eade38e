// One network of the front at a time: its accuracy, where it comes from, what it consists of and gets wrong.

const pages = () => study().networks.pages;
const currentPage = () => pages().find((page) => String(page.number) === state.network) || pages()[0];

function openNetwork(wanted) {
  if (!pages().some((page) => page.number === wanted)) return;
  remember("network", wanted);
  drawNetwork();
  byId("network").scrollIntoView();
}

function networkControls(page) {
  const first = study().objectives[0];
  const turn = (by) => () => {
    const next = pages()[(pages().indexOf(page) + by + pages().length) % pages().length];
    remember("network", next.number);
    drawNetwork();
  };
  const options = pages().map((each) => {
    const value = values(first.name)[values("number").indexOf(each.number)];
    return [String(each.number), `${each.number}: ${first.title} ${quantity(value, first)}`];
  });
  show(
    "network-controls",
    select("network", "network", options, page.number, drawNetwork),
    element("button", { type: "button", onclick: turn(-1) }, "previous"),
    element("button", { type: "button", onclick: turn(1) }, "next"),
  );
}

function drawNetwork() {
  const found = study().networks;
  for (const plot of byId("network-page").querySelectorAll(".plot")) if (plot.data) Plotly.purge(plot);
  show("network-controls");
  if (!pages().length) return show("network-page", note(found.missing || "There is no network on the front."));
  const page = currentPage();
  const row = values("number").indexOf(page.number);
  const rest = `${found.left_out} other networks of the front have no page; sparsemod score shows the layers of any.`;
  const parameters = Object.entries(page.parameters).map(([name, value]) => `${name} ${number(value)}`);
  networkControls(page);
  show(
    "network-page",
    element("p", {}, accuracyText(page, row)),
    note(costsText(row)),
    ...(found.left_out ? [note(rest)] : []),
    element("h3", {}, "Ancestry"),
    element("div", { class: "scroll" }, ancestryTable(page)),
    ...curveParts(page),
    ...(page.missing ? [note(page.missing)] : layerParts(page)),
    ...confusionParts(page),
    element("h3", {}, "Parameters"),
    note(parameters.join(", ") || "none"),
  );
  if (!page.missing) {
    drawMemory(page);
    drawBytes(page);
  }
  if (page.curve.length) drawCurve(page, row);
  if (page.confusion) drawConfusion(page);
}

const percent = (share) => `${(100 * share).toFixed(2)} %`;

function accuracyText(page, row) {
  const wrong = values("error")?.[row] ?? null;
  const [saved, tested] = ["saved_test_error", "test_error"].map((name) => values(name)?.[row] ?? null);
  if (wrong === null) return "";
  if (page.own_error) return ownErrorText(page, wrong, saved, tested);
  const parts = [`Validation accuracy of the integer network: ${percent(1 - wrong)}.`];
  if (page.float_error === undefined) parts.push("Accuracy before quantization was not recorded.");
  else parts.push(`Validation accuracy before quantization: ${percent(1 - page.float_error)}.`);
  if (saved !== null) parts.push(`Test accuracy of the integer network: ${percent(1 - saved)}.`);
  if (tested !== null) parts.push(`Mean test accuracy after it was trained again: ${percent(1 - tested)}.`);
  return parts.join(" ");
}

function ownErrorText(page, wrong, saved, tested) {
  const parts = [`Validation error (${page.own_error}) of the integer network: ${number(wrong)}.`];
  if (page.float_error !== undefined) parts.push(`Validation error before quantization: ${number(page.float_error)}.`);
  if (saved !== null) parts.push(`Test error of the integer network: ${number(saved)}.`);
  if (tested !== null) parts.push(`Mean test error after it was trained again: ${number(tested)}.`);
  return parts.join(" ");
}

const ERRORS = ["error", "float_error", "saved_test_error", "test_error"];

function costsText(row) {
  return figures()
    .filter((each) => !ERRORS.includes(each.name) && values(each.name)[row] !== null)
    .map((each) => `${each.title} ${quantity(values(each.name)[row], each)}`)
    .join(", ");
}

function ancestryTable(page) {
  const own = study().objectives;
  const rows = page.ancestry.map((each, i) => [
    each.number,
    each.stage,
    each.epochs,
    ...own.map((figure) => number(each.score[figure.name], figure.unit)),
    each.changed.join(", ") || (i ? "nothing: trained on" : "began anew"),
  ]);
  const numeric = [0, 2, ...own.map((_, i) => i + 3)];
  return plainTable(["trial", "stage", "epochs", ...own.map(axisTitle), "changed"], rows, numeric);
}

function curveParts(page) {
  if (!page.curve.length) return [];
  const parts = ["Validation error before quantization, as far as it was measured while the network was trained."];
  if (page.curve.length > 1) parts.push("Each line is one training; it starts from the weights of the one before.");
  parts.push("The cross is the error of the integer network.");
  return [
    element("h3", {}, "Learning curve"),
    note(parts.join(" ")),
    element("div", { class: "plot", id: "curve-plot" }),
  ];
}

function drawCurve(page, row) {
  const traces = page.curve.map((part, place) => ({
    type: "scatter",
    mode: "lines+markers",
    name: `trial ${part.number}`,
    x: part.epochs,
    y: part.errors,
    hovertemplate: `trial ${part.number}: %{y:.4g} after %{x} epochs<extra></extra>`,
    line: { color: PALETTE[place % PALETTE.length], width: 2 },
    marker: { symbol: SYMBOLS[place % SYMBOLS.length], size: 7 },
    showlegend: page.curve.length > 1,
  }));
  const joined = {
    type: "scatter",
    mode: "lines",
    hoverinfo: "skip",
    showlegend: false,
    x: page.curve.flatMap((part) => part.epochs),
    y: page.curve.flatMap((part) => part.errors),
    line: { color: colour("--faint"), width: 1, dash: "dot" },
  };
  const seen = page.ancestry.reduce((sum, each) => sum + each.epochs, 0);
  const wrong = values("error")?.[row] ?? null;
  const scored = {
    type: "scatter",
    mode: "markers",
    x: [seen],
    y: [wrong],
    hovertemplate: "integer network: %{y:.4g}<extra></extra>",
    marker: { symbol: "x-thin", size: 11, line: { width: 2, color: colour("--text") } },
    showlegend: false,
  };
  byId("curve-plot").style.height = "300px";
  draw("curve-plot", [joined, ...traces, ...(wrong === null ? [] : [scored])], {
    xaxis: { title: { text: "epochs, those of its ancestors counted" }, rangemode: "tozero" },
    yaxis: { title: { text: "validation error (share)" }, rangemode: "tozero" },
  });
}

function confusionParts(page) {
  if (page.missing) return [];
  const heading = element("h3", {}, "Confusion on the validation split");
  if (!page.confusion)
    return [heading, note(page.not_run || `Left out, since the data cannot be reached from here: ${study().no_data}`)];
  const recorded = values("error")?.[values("number").indexOf(page.number)] ?? page.measured_error;
  const told = ["How often each class was taken for which, by the integer network."];
  if (Math.abs(page.measured_error - recorded) > 1e-5) {
    told.push(`They give an error of ${number(page.measured_error)}, but ${number(recorded)} was recorded:`);
    told.push("the data is not that of the search.");
  }
  return [heading, note(told.join(" ")), element("div", { class: "plot", id: "confusion-plot" })];
}

function drawConfusion(page) {
  const counts = page.confusion;
  const names = counts.map((_, k) => String(k));
  const shades = [
    [0, colour("--card")],
    [1, PALETTE[0]],
  ];
  byId("confusion-plot").style.maxWidth = "640px";
  draw(
    "confusion-plot",
    [
      {
        type: "heatmap",
        z: counts.map((row) => row.map((count) => Math.log10(count + 1))), // so that a single mistake is seen
        x: names,
        y: names,
        text: counts,
        texttemplate: counts.length > 20 ? "" : "%{text}",
        hovertemplate: "class %{y} taken for %{x}: %{text}<extra></extra>",
        showscale: false,
        colorscale: shades,
      },
    ],
    {
      xaxis: { title: { text: "found class" }, type: "category" },
      yaxis: { title: { text: "true class" }, type: "category", autorange: "reversed" },
    },
  );
}
