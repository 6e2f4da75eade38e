// What networks reach on samples that no search has seen, beside what they reached in validation.

const MOST_CLASSES = 20;

function drawTest() {
  const rows = study().test;
  if (!rows.length) {
    byId("test-note").textContent =
      "No network has been measured on the test set yet; sparsemod test does that, when the choice is made.";
    return show("test-table");
  }
  const classes = Math.max(...rows.map((row) => recallsOf(row).length));
  const shown = classes > MOST_CLASSES ? 0 : classes;
  const [what, unit] = classes ? ["accuracy", " (%)"] : ["error", ""];
  const given = (error) => (error === null ? "" : classes ? inPercent(1 - error) : number(error));
  const spread = (by) => (by === null ? "" : ` ± ${classes ? inPercent(by) : number(by)}`);
  const titles = [
    "network",
    `test ${what} as saved${unit}`,
    `test ${what} trained again${unit}`,
    "trained again",
    `validation ${what}${unit}`,
    ...(classes ? ["lowest test recall (%)"] : []),
    ...Array.from({ length: shown }, (_, k) => `class ${k}: test recall (%)`),
  ];
  const cells = rows.map((row) => [
    networkLink(row.number),
    given(row.saved),
    given(row.error) + spread(row.deviation),
    trainings(row),
    given(row.validation),
    ...(classes ? [lowest(recallsOf(row))] : []),
    ...recallsOf(row).slice(0, shown).map(inPercent),
  ]);
  show("test-table", plainTable(titles, cells, [0, 1, 2, 4, 5, ...Array.from({ length: shown }, (_, k) => k + 6)]));
  byId("test-note").textContent = [
    "As saved: the very network that the search left and that is exported. Trained again: mean ± standard deviation of the",
    "same architecture, trained from new weights on training and validation samples together; by groups, each measured on",
    "one that it has not seen.",
    classes ? "Recalls are means of these, or of the saved network where there are none." : "",
    "The search has chosen by what was reached in validation.",
    shown < classes ? `Recalls of all ${classes} classes are in test.csv.` : "",
  ].join(" ");
}

const inPercent = (share) => (share === null || share === undefined ? "" : (100 * share).toFixed(2));
const recallsOf = (row) => (row.recalls.length ? row.recalls : row.saved_recalls);

function trainings(row) {
  if (!row.trainings && !row.failed) return "no";
  const failed = row.failed ? `, ${row.failed} failed` : "";
  return `${row.trainings} ${row.trainings === 1 ? row.by.slice(0, -1) : row.by}${failed}`;
}

function lowest(recalls) {
  const known = recalls.filter((share) => share !== null);
  if (!known.length) return "";
  const least = Math.min(...known);
  return `${inPercent(least)} (class ${recalls.indexOf(least)})`;
}

function networkLink(number) {
  if (!pages().some((page) => page.number === number)) return String(number);
  return element("button", { type: "button", class: "link", onclick: () => openNetwork(number) }, number);
}
