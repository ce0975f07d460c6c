// The page works without this script: its form loads a new page. With it, only status and results are replaced.
const form = document.querySelector("form");
const statusLine = document.querySelector("#status");
const results = document.querySelector("#results");
let latest = 0;

async function show(address) {
  const mine = ++latest;
  results.setAttribute("aria-busy", "true");
  statusLine.className = "";
  statusLine.textContent = form.dataset.asking;
  try {
    const answer = await fetch(address);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    // A later question makes this answer obsolete.
    if (mine !== latest) return;
    results.replaceChildren(...page.querySelector("#results").childNodes);
    statusLine.className = page.querySelector("#status").className;
    statusLine.textContent = page.querySelector("#status").textContent;
    document.title = page.title;
  } catch {
    // No network: the browser's own error page explains it better.
    if (mine === latest) location.assign(address);
  } finally {
    if (mine === latest) results.removeAttribute("aria-busy");
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const address = `/?${new URLSearchParams(new FormData(form))}`;
  // On a phone the keyboard would cover the answers.
  if (matchMedia("(pointer: coarse)").matches) form.elements.q.blur();
  history.pushState(null, "", address);
  show(address);
});

addEventListener("popstate", () => {
  form.elements.q.value = new URLSearchParams(location.search).get("q") ?? "";
  show(location.pathname + location.search);
});
