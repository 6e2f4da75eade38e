// From an empty page to a drawn one.

async function unpack(id) {
  if (!("DecompressionStream" in window))
    throw new Error(
      "This browser cannot unpack the plots (it lacks DecompressionStream). Chrome and Edge can from version 80 on, " +
        "Firefox from 113, Safari from 16.4. pareto.csv and trials.csv in the study's folder hold the same figures.",
    );
  const bytes = Uint8Array.from(atob(byId(id).textContent), (each) => each.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function headings() {
  show("contents");
  for (const section of document.querySelectorAll("main > section")) {
    const title = section.dataset.title;
    section.prepend(element("h2", { tabindex: "-1" }, title));
    section.setAttribute("aria-label", title);
    const go = () => {
      section.scrollIntoView();
      section.querySelector("h2").focus({ preventScroll: true });
    };
    if (section.id !== "compare" || report.comparison)
      byId("contents").append(element("button", { type: "button", onclick: go }, title));
  }
}

function drawSummary() {
  const of = study();
  byId("name").textContent = report.comparison ? report.studies.map((each) => each.name).join(", ") : of.name;
  byId("running").hidden = !report.refresh;
  const none = of.growth.number.length
    ? "No completed trial is within all limits, so there is nothing to choose from."
    : "This study has no trials yet.";
  show("picks", ...(of.picks.length ? of.picks.map(card) : [note(none)]));
  show("facts", ...of.facts.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
  const tested = new Set(of.test.map((row) => row.number)).size;
  byId("kind-of-error").textContent = [
    "All errors are validation errors, unless they are called test errors: shares of wrong answers on the samples by",
    "which the search chose. They flatter what was chosen.",
    tested
      ? `${tested} ${tested === 1 ? "network was" : "networks were"} measured on the test set, too.`
      : "No network has been measured on the test set yet.",
  ].join(" ");
}

function card(pick) {
  const open = element(
    "button",
    { type: "button", class: "link", onclick: () => openNetwork(pick.number) },
    pick.number,
  );
  const tested = pick.test ? `; test error ${pick.test}` : "";
  const text = element("p", {}, "network ", open, `: ${pick.figures}${tested}`);
  return element("div", { class: "card" }, element("h3", {}, pick.why), text);
}

function drawStudy() {
  everything = false;
  drawSummary();
  drawTest();
  drawGrowth();
  drawFront();
  drawParallel();
  drawImportance();
  drawStages();
  drawReasons();
  tableControls();
  drawTable();
  drawNetwork();
}

function chooseStudy() {
  if (report.studies.length < 2) return;
  byId("study-choice").hidden = false;
  byId("study").replaceChildren(
    ...report.studies.map((each, i) => element("option", { value: i, selected: each === study() }, each.name)),
  );
  byId("study").onchange = () => {
    for (const key of ["x", "y", "colour", "logx", "logy", "axes", "network", "status", "filter", "sort", "down"])
      remember(key, "");
    remember("study", byId("study").value);
    drawStudy();
  };
}

async function main() {
  if (report.refresh) setTimeout(() => location.reload(), 1000 * report.refresh);
  headings();
  chooseStudy();
  drawSummary();
  const script = document.createElement("script");
  script.textContent = await unpack("plotly");
  document.head.append(script);
  const all = () => {
    drawComparison();
    drawStudy();
  };
  all();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  document.documentElement.dataset.drawn = "yes";
}

main().catch((error) => {
  byId("failure").hidden = false;
  byId("failure").textContent = error.message;
  console.error(error);
});
