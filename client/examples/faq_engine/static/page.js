// Without this the page works as well: a form that loads it anew. With it, only what came of the question is put in.
const form = document.querySelector("form");
const said = document.querySelector("#status");
const results = document.querySelector("#results");
let latest = 0;

async function show(address) {
  const mine = ++latest;
  results.setAttribute("aria-busy", "true");
  said.className = "";
  said.textContent = form.dataset.asking;
  try {
    const answer = await fetch(address);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    // Who asks again before the answer is there wants the later one.
    if (mine !== latest) return;
    results.replaceChildren(...page.querySelector("#results").childNodes);
    said.className = page.querySelector("#status").className;
    said.textContent = page.querySelector("#status").textContent;
    document.title = page.title;
  } catch {
    // No network: the browser's own page says so better.
    if (mine === latest) location.assign(address);
  } finally {
    if (mine === latest) results.removeAttribute("aria-busy");
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const address = `/?${new URLSearchParams(new FormData(form))}`;
  // On a telephone the keyboard would cover the answers.
  if (matchMedia("(pointer: coarse)").matches) form.elements.q.blur();
  history.pushState(null, "", address);
  show(address);
});

addEventListener("popstate", () => {
  form.elements.q.value = new URLSearchParams(location.search).get("q") ?? "";
  show(location.pathname + location.search);
});
