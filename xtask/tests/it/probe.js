// Looks at a page of results after it is drawn, and leaves what it finds as JSON at its end.
const inside = (inner, outer) =>
  inner.left >= outer.left - 1 && inner.top >= outer.top - 1 &&
  inner.right <= outer.right + 1 && inner.bottom <= outer.bottom + 1;
const cross = (a, b) =>
  Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
  Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
const plots = [...document.querySelectorAll("figure svg")].map((svg) => {
  const frame = svg.getBoundingClientRect();
  const marks = [...svg.querySelectorAll("path, polyline, line, circle, rect, polygon")];
  // Axes, grid, limits and uprights are grey; the samples of the legend stand above them; the rest is data.
  const isGrey = (part) =>
    [part.getAttribute("stroke"), part.getAttribute("fill")].includes("#808080");
  const box = (part) => part.getBoundingClientRect();
  const top = Math.min(...marks.filter(isGrey).map((part) => box(part).top));
  const data = marks.filter((part) => !isGrey(part) && box(part).bottom >= top);
  const texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent.trim());
  const boxes = texts.map((text) => text.getBoundingClientRect());
  const out = [...marks, ...texts].filter((part) => !inside(part.getBoundingClientRect(), frame));
  const overlaps = [];
  boxes.forEach((a, i) => boxes.slice(0, i).forEach((b, j) => {
    if (cross(a, b)) overlaps.push(texts[j].textContent.trim() + " | " + texts[i].textContent.trim());
  }));
  return {
    name: svg.parentElement.getAttribute("aria-label"),
    data: data.length,
    at: [frame.left, frame.top, frame.width, frame.height],
    outside: out.slice(0, 5).map((part) => part.outerHTML.slice(0, 120)),
    overlaps: overlaps.slice(0, 5),
  };
});
const page = document.documentElement;
const shaded = [...document.querySelectorAll(".confusion td[style]")].filter((cell) =>
  getComputedStyle(cell).backgroundColor !== "rgba(0, 0, 0, 0)");
const style = getComputedStyle(document.body);
const found = document.createElement("script");
found.type = "application/json";
found.id = "found";
found.textContent = JSON.stringify({
  errors: failed,
  fetched: performance.getEntriesByType("resource").map((entry) => entry.name),
  widths: [page.clientWidth, page.scrollWidth],
  plots,
  shaded: shaded.length,
  colours: [style.backgroundColor, style.color],
}).replaceAll("<", "\\u003c");
document.body.append(found);
