"use strict";
// The expert's answers: kept in this browser, saved as a CSV, loaded from one.
const KEY = `histoweave review ${data.sae_sha256}`;
const EMPTY = { name: "", verdict: "", comment: "" };
// Answers by concept, and the concepts whose answer is in no file yet.
const answers = structuredClone(data.review);
const unsaved = new Set();
const answerOf = (concept) => answers[concept] ?? EMPTY;
const isReviewed = (answer) => answer.name !== "" || answer.verdict !== "" || answer.comment !== "";
const say = (text) => { control("message").textContent = text; };
const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

function remember() {
  const content = JSON.stringify({ review_key: data.review_key, answers, unsaved: [...unsaved] });
  try { localStorage.setItem(KEY, content); } catch { /* a browser that keeps nothing: the CSV is what counts */ }
}

// What this browser kept. Answers that are in a file already give way to a newer review that the run was given.
function recall() {
  let kept = null;
  try { kept = JSON.parse(localStorage.getItem(KEY)); } catch { return 0; }
  if (!kept) return 0;
  const pending = new Set(kept.unsaved.map(String));
  const back = Object.keys(kept.answers).filter((concept) => kept.review_key === data.review_key || pending.has(concept));
  for (const concept of back) answers[concept] = kept.answers[concept];
  for (const concept of pending) unsaved.add(concept);
  return pending.size;
}

// The fields of a card: two texts, and the choices of the verdict.
function fieldsOf(card) {
  const box = card.element.querySelector(".review");
  return {
    name: box.querySelector("input[name=name]"), comment: box.querySelector("textarea"),
    choices: box.querySelectorAll("input[type=radio]"),
  };
}

function mark(card) {
  const answer = answerOf(card.concept);
  const { element } = card;
  element.querySelector("h3").textContent = answer.name || `Concept ${card.concept}`;
  element.querySelector(".verdict").textContent = answer.verdict;
  element.dataset.verdict = answer.verdict;
}

function fill(card) {
  const answer = answerOf(card.concept);
  const { name, comment, choices } = fieldsOf(card);
  name.value = answer.name;
  comment.value = answer.comment;
  for (const choice of choices) choice.checked = choice.value === answer.verdict;
  mark(card);
}

function progress() {
  const n = cards.filter((card) => isReviewed(answerOf(card.concept))).length;
  const open = unsaved.size ? ` · ${unsaved.size} unsaved` : "";
  control("progress").textContent = `${n} of ${cards.length} reviewed${open}`;
}

function read(card) {
  const { name, comment, choices } = fieldsOf(card);
  const verdict = Array.from(choices).find((choice) => choice.checked)?.value ?? "";
  const answer = { name: name.value.trim(), verdict, comment: comment.value.trim() };
  answers[card.concept] = answer;
  unsaved.add(String(card.concept));
  mark(card);
  progress();
  remember();
}

function save() {
  const given = Object.fromEntries(Object.entries(answers).filter(([, answer]) => isReviewed(answer)));
  const link = document.createElement("a");
  const file = new Blob([toCsv(given, data.sae_sha256)], { type: "text/csv;charset=utf-8" });
  link.href = URL.createObjectURL(file);
  link.download = "review.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  unsaved.clear();
  progress();
  remember();
  say(`Saved ${plural(Object.keys(given).length, "answer")} as review.csv.`);
}

async function load(file) {
  let found;
  try {
    found = fromCsv(await file.text(), data.sae_sha256, data.n_latents);
  } catch (error) {
    say(`${file.name} was not loaded: ${error.message}.`);
    return;
  }
  const same = (a, b) => Object.keys(EMPTY).every((name) => a[name] === b[name]);
  const lost = Object.keys(found).filter((concept) => unsaved.has(concept) && !same(found[concept], answerOf(concept)));
  if (lost.length && !confirm(`${plural(lost.length, "unsaved answer")} will be replaced by the content of ${file.name}.`)) return;
  Object.assign(answers, found);
  for (const concept of Object.keys(found)) unsaved.delete(concept);
  cards.forEach(fill);
  progress();
  remember();
  refresh();
  say(`Loaded ${plural(Object.keys(found).length, "answer")} from ${file.name}.`);
}

if (list) {
  const back = recall();
  cards.forEach(fill);
  progress();
  refresh();
  openLinked();
  if (back) say(`${plural(back, "unsaved answer")} restored from an earlier visit. Save the review to keep ${back === 1 ? "it" : "them"}.`);
  list.addEventListener("input", (event) => read(cardOf.get(event.target.closest(".concept"))));
  control("save").addEventListener("click", save);
  control("load").addEventListener("change", (event) => {
    if (event.target.files.length) load(event.target.files[0]);
    event.target.value = "";
  });
  window.addEventListener("beforeunload", (event) => { if (unsaved.size) event.preventDefault(); });
}
