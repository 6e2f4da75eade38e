"use strict";
// What all scripts share: the data, the state that the address keeps, elements, numbers and colours.

const report = JSON.parse(document.getElementById("data").textContent);

// Okabe and Ito: eight colours that people with any kind of colour blindness tell apart; yellow is too light here.
const PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "star", "cross"];

const state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

// Keeps a choice in the address, so that it outlives a reload and can be sent to others.
function remember(key, value) {
  if (value === undefined || value === null || value === "") delete state[key];
  else state[key] = String(value);
  history.replaceState(null, "", "#" + new URLSearchParams(state));
}

const study = () => report.studies[Number(state.study) || 0] || report.studies[0];
const byId = (id) => document.getElementById(id);
const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const narrow = () => matchMedia("(max-width: 600px)").matches;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

function show(id, ...children) {
  byId(id).replaceChildren(...children);
}

function select(label, key, options, chosen, changed) {
  const box = element(
    "select",
    {
      id: `choose-${key}`,
      onchange: () => {
        remember(key, box.value);
        changed();
      },
    },
    ...options.map(([value, text]) => element("option", { value, selected: value === String(chosen) }, text)),
  );
  return element("label", {}, label, box);
}

function check(label, key, chosen, changed) {
  const box = element("input", {
    type: "checkbox",
    id: `choose-${key}`,
    checked: chosen,
    onchange: () => {
      remember(key, box.checked ? "1" : "0");
      changed();
    },
  });
  return element("label", {}, box, label);
}

const column = (name, of = study()) => of.table.columns.find((each) => each.name === name);
const values = (name, of = study()) => of.table.values[name];
const figures = (of = study()) => of.table.columns.filter((each) => each.kind === "figure");
const isNumeric = (name, of = study()) =>
  values(name, of).every((value) => value === null || typeof value === "number");
const axisTitle = (each) => each.title + (each.unit ? ` (${each.unit})` : "");

function number(value, unit = "") {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) || unit === "bytes") return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(4)));
}

// A figure with its unit; that of an error, a share, is understood.
function quantity(value, { unit }) {
  return number(value, unit) + (unit && unit !== "share" ? ` ${unit}` : "");
}

const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const completed = (of = study()) =>
  values("status", of)
    .map((_, row) => row)
    .filter((row) => ["front", "dominated", "over a limit"].includes(values("status", of)[row]));
const stages = (of = study()) => [...new Set(of.growth.stage)];

const note = (text) => element("p", { class: "note" }, text);

// A table of texts; cells of `numeric` columns stand to the right.
function plainTable(titles, rows, numeric = []) {
  const side = (place) => (numeric.includes(place) ? { class: "number" } : {});
  return element(
    "table",
    {},
    element(
      "thead",
      {},
      element("tr", {}, ...titles.map((title, i) => element("th", { scope: "col", ...side(i) }, title))),
    ),
    element(
      "tbody",
      {},
      ...rows.map((row) =>
        element(
          "tr",
          {},
          ...row.map((cell, i) => element("td", String(cell).length > 40 ? { class: "wide" } : side(i), cell)),
        ),
      ),
    ),
  );
}
