const form = document.querySelector("form"), grid = document.querySelector(".cards");
const more = document.querySelector("button"), cards = [...grid.children], page = 24;
const by = (key, sign = 1) => (a, b) => sign * (a.dataset[key] - b.dataset[key]);
const orders = {failures: by("rank"), successes: by("rank", -1), pair: by("pair"),
  far: by("start", -1), near: by("start"), end: by("end", -1)};
let limit = page;
function show() {
  const chosen = Object.fromEntries(new FormData(form));
  const fits = card => ["row", "kind"].every(key => !chosen[key] || card.dataset[key] === chosen[key]);
  const found = cards.filter(fits).sort(orders[chosen.order]);
  cards.forEach(card => { card.hidden = true });
  found.slice(0, limit).forEach(card => { card.hidden = false });
  grid.append(...found);
  const shown = Math.min(limit, found.length);
  form.querySelector("output").textContent = `${shown} of ${found.length} episodes`;
  more.hidden = shown === found.length;
  more.textContent = `Show ${Math.min(page, found.length - shown)} more`;
}
const seen = new Set();
const play = video => { if (form.elements.play.checked) video.play().catch(() => {}) };
const watch = new IntersectionObserver(entries => entries.forEach(({target, isIntersecting}) => {
  if (isIntersecting) { seen.add(target); play(target) }
  else if (seen.delete(target)) { target.pause(); target.load() }  // browsers limit open players
}), {rootMargin: "50px"});
document.querySelectorAll("video").forEach(video => {
  video.controls = false;
  video.tabIndex = 0;
  video.addEventListener("focus", () => { video.controls = true });
  video.addEventListener("blur", () => { video.controls = false });
  watch.observe(video);
});
form.hidden = false;
form.elements.play.checked = !matchMedia("(prefers-reduced-motion: reduce)").matches;
form.elements.row.value = form.dataset.leader;
form.elements.play.addEventListener("input", () =>
  seen.forEach(video => form.elements.play.checked ? play(video) : video.pause()));
form.addEventListener("input", event => {
  if (event.target.name !== "play") { limit = page; show() }
});
form.addEventListener("submit", event => event.preventDefault());
more.addEventListener("click", () => { limit += page; show() });
show();
