// All trials as a table that is sorted by its headers and filtered by words, comparisons and brushes.

const SHOWN = 100;
let everything = false;

// `error<0.05 bayes` keeps the rows for which all words hold: comparisons with a column, or texts found in the row.
function filterOf(text) {
  const tests = text
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => {
      const [, name, sign, wanted] = word.match(/^(\w+)(<=|>=|<|>|=)(.+)$/) || [];
      if (!name || !column(name))
        return (row) =>
          study().table.columns.some((each) =>
            String(values(each.name)[row] ?? "")
              .toLowerCase()
              .includes(word.toLowerCase()),
          );
      const least = Number(wanted.replace(/,/g, ""));
      return (row) => {
        const value = values(name)[row];
        if (value === null) return false;
        if (sign === "=") return String(value) === wanted || value === least;
        return { "<": value < least, ">": value > least, "<=": value <= least, ">=": value >= least }[sign];
      };
    });
  return (row) => tests.every((test) => test(row));
}

function tableColumns() {
  return study().table.columns.filter(
    (each) => each.kind !== "parameter" || state.parameters === "1" || each.name === "epochs",
  );
}

function chosenRows() {
  const passes = filterOf(state.filter || ""),
    status = values("status");
  const rows = status
    .map((_, row) => row)
    .filter((row) => (!brushed || brushed.has(row)) && (!state.status || status[row] === state.status) && passes(row));
  const list = values(column(state.sort) ? state.sort : "number"),
    sign = state.down === "1" ? -1 : 1;
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  return rows.sort((a, b) => {
    // What is missing comes last.
    if (list[a] === null || list[b] === null) return (list[a] === null) - (list[b] === null);
    return sign * order(list[a], list[b]) || a - b;
  });
}

function tableControls() {
  const box = element("input", {
    type: "search",
    id: "filter",
    value: state.filter || "",
    placeholder: "such as error<0.05 bayes",
    oninput: () => {
      remember("filter", box.value);
      drawTable();
    },
  });
  const found = [...new Set(values("status"))].sort();
  show(
    "table-controls",
    element("label", {}, "filter", box),
    select("status", "status", [["", "all"], ...found.map((each) => [each, each])], state.status || "", drawTable),
    check("show parameters", "parameters", state.parameters === "1", drawTable),
  );
}

function header(each) {
  const sorted = (state.sort || "number") === each.name;
  const turn = () => {
    remember("down", sorted && state.down !== "1" ? "1" : "");
    remember("sort", each.name);
    drawTable();
    byId(`sort-${each.name}`).focus();
  };
  const arrow = sorted ? (state.down === "1" ? " ▼" : " ▲") : "";
  const direction = sorted ? { "aria-sort": state.down === "1" ? "descending" : "ascending" } : {};
  return element(
    "th",
    { scope: "col", class: numericCell(each) ? "number" : "", ...direction },
    element("button", { type: "button", id: `sort-${each.name}`, onclick: turn }, axisTitle(each) + arrow),
  );
}

const numericCell = (each) =>
  each.name === "number" || each.name === "parent" || (each.kind !== "text" && isNumeric(each.name));

function drawTable() {
  const shown = tableColumns(),
    rows = chosenRows(),
    status = values("status");
  const visible = everything ? rows : rows.slice(0, SHOWN);
  show(
    "table",
    element(
      "table",
      {},
      element("thead", {}, element("tr", {}, ...shown.map(header))),
      element(
        "tbody",
        {},
        ...visible.map((row) =>
          element(
            "tr",
            { class: status[row] === "front" ? "front" : "" },
            ...shown.map((each) => element("td", numericCell(each) ? { class: "number" } : {}, cell(each, row))),
          ),
        ),
      ),
    ),
  );
  const inside = brushed ? ", those inside the brushes" : "";
  byId("table-count").textContent =
    `${number(rows.length)} of ${number(status.length)} trials${inside}. Bold: on the front.`;
  byId("more").hidden = visible.length === rows.length;
  byId("more").textContent = `show all ${number(rows.length)}`;
  byId("more").onclick = () => {
    everything = true;
    drawTable();
  };
}

function cell(each, row) {
  const value = values(each.name)[row];
  if (each.name === "number") return networkLink(value);
  return each.name === "parent" ? String(value ?? "") : number(value, each.unit);
}
