"use strict";
// Reviews as CSV (RFC 4180). No DOM here.
const COLUMNS = ["concept", "name", "verdict", "comment", "sae_sha256"];
const VERDICTS = ["", "accepted", "rejected"];

// Spreadsheets run a text that begins like a formula; an apostrophe in front keeps it a text, and is taken off again by
// whoever reads it: here and in concepts/review.py.
const FORMULA = /^'*[=+\-@\t\r＝＋－＠]/;
const defused = (text) => (FORMULA.test(text) ? "'" + text : text);
const restored = (text) => (text.startsWith("'") && FORMULA.test(text) ? text.slice(1) : text);

function quoted(value) {
  const text = String(value);
  return /[",;\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function toCsv(answers, sha256) {
  const concepts = Object.keys(answers).sort((a, b) => a - b);
  const rows = concepts.map((concept) => {
    const { name, verdict, comment } = answers[concept];
    return [concept, defused(name), verdict, defused(comment), sha256];
  });
  return [COLUMNS, ...rows].map((row) => row.map(quoted).join(",") + "\r\n").join("");
}

// Rows of fields; quotes may hold separators and line ends.
function parseRows(text, separator) {
  const rows = [];
  let row = [], field = "", inside = false, touched = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (inside) {
      if (c !== '"') field += c;
      else if (text[i + 1] === '"') { field += c; i++; }
      else inside = false;
    } else if (c === '"' && field === "") { inside = true; touched = true; }
    else if (c === separator) { row.push(field); field = ""; touched = true; }
    else if (c === "\n" || c === "\r") {
      if (c === "\r" && text[i + 1] === "\n") i++;
      if (touched || field !== "") rows.push([...row, field]);
      row = []; field = ""; touched = false;
    } else field += c;
  }
  if (inside) throw new Error("a quotation mark is not closed");
  if (touched || field !== "") rows.push([...row, field]);
  return rows;
}

// Answers by concept of a saved review. Throws an Error that says what is wrong.
function fromCsv(text, sha256, nLatents) {
  text = text.replace(/^\uFEFF/, "");
  const [first = [], ...rows] = parseRows(text, text.split("\n", 1)[0].includes(";") ? ";" : ",");
  const head = first.map((name) => name.trim());
  const place = Object.fromEntries(COLUMNS.map((name) => [name, head.indexOf(name)]));
  const missing = COLUMNS.filter((name) => place[name] < 0);
  if (missing.length) throw new Error(`the column ${missing.join(", ")} is missing`);
  const answers = {};
  rows.forEach((row, index) => {
    const value = (name) => (row[place[name]] ?? "").trim();
    const line = `row ${index + 2}`;
    if (row.every((field) => field.trim() === "")) return;
    if (row.length !== head.length) throw new Error(`${line} has ${row.length} fields, the header ${head.length}`);
    if (value("sae_sha256") !== sha256) throw new Error(`${line} belongs to another dictionary; names cannot be transferred`);
    const concept = value("concept");
    if (!/^\d+$/.test(concept) || Number(concept) >= nLatents) throw new Error(`${line}: no concept '${concept}'`);
    if (Number(concept) in answers) throw new Error(`${line}: concept ${concept} occurs twice`);
    if (!VERDICTS.includes(value("verdict"))) throw new Error(`${line}: unknown verdict '${value("verdict")}'`);
    answers[Number(concept)] = {
      name: restored(value("name")), verdict: value("verdict"), comment: restored(value("comment")),
    };
  });
  return answers;
}
