// A listing is complete without this script. It adds a filter, and shows times in the time zone of
// the reader.
const rows = [...document.querySelectorAll("tbody tr:not(.u)")];
const filter = document.getElementById("filter");
const found = document.getElementById("found");
const sortLinks = document.querySelectorAll("th a");
const number = new Intl.NumberFormat();

// Removes case and accents, so that "cafe" finds "Café".
const fold = text => text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
let names;

function applyFilter() {
  names ??= rows.map(row => fold(row.cells[0].textContent));
  const words = fold(filter.value).split(/\s+/).filter(word => word);
  let matches = 0;
  rows.forEach((row, at) => {
    const isMatch = words.every(word => names[at].includes(word));
    if (row.hidden == isMatch) row.hidden = !isMatch;
    matches += isMatch;
  });
  found.textContent = words.length
    ? `${number.format(matches)} of ${number.format(rows.length)} match.` : "";
  // Keep the filter when the reader sorts by another column.
  const hash = words.length ? new URLSearchParams({ filter: filter.value }) : "";
  sortLinks.forEach(link => link.hash = hash);
}

let timer;
filter.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(applyFilter, rows.length > 2000 ? 150 : 0);
});
addEventListener("keydown", event => {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key == "/" && event.target != filter) {
    event.preventDefault();
    filter.focus();
  } else if (event.key == "Escape" && filter.value) {
    event.preventDefault();
    filter.value = "";
    applyFilter();
  } else if (event.key == "Escape") {
    filter.blur();
  } else if (event.key == "Enter" && event.target == filter) {
    applyFilter();
    const matches = rows.filter(row => !row.hidden);
    if (matches.length == 1) matches[0].querySelector("a").click();
  }
});
if (rows.length) filter.hidden = false;
if (matchMedia("(hover: hover)").matches) filter.placeholder += " (press /)";
filter.value = new URLSearchParams(location.hash.slice(1)).get("filter") ?? "";
if (filter.value) applyFilter();

const local = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit",
});
// In one task, because the browser lays a large table out anew after each.
for (const time of document.querySelectorAll("time")) {
  time.textContent = local.format(new Date(time.dateTime));
}
document.getElementById("zone").textContent = local.resolvedOptions().timeZone;
