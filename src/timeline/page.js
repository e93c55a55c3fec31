"use strict";
// Nothing of the trace becomes markup here: text goes into the page as text alone.
(() => {
  const id = (name) => document.getElementById(name);
  const data = JSON.parse(id("data").textContent);
  const last = data.events.length - 1;
  const parts = [...document.querySelectorAll("[data-step]")].map((part) => [part, Number(part.dataset.step)]);
  const boxes = new Map(parts.filter(([part]) => part.matches(".event")).map(([part, step]) => [step, part]));
  let step = 0;

  const make = (name, text, className) => {
    const element = document.createElement(name);
    element.textContent = text;
    if (className) element.className = className;
    return element;
  };

  // What the kernel has said of each descriptor up to this step; what this step has closed is still shown.
  const socketsAt = (step) => {
    const rows = new Map();
    for (const [at, lane, fd, state] of data.changes) {
      if (at > step) break;
      const key = lane * 1e6 + fd;
      if (state) rows.set(key, { lane, fd, state, fresh: at === step, gone: false });
      else if (at === step && rows.has(key)) rows.get(key).gone = true;
      else rows.delete(key);
    }
    return [...rows.entries()].sort(([a], [b]) => a - b).map(([, row]) => row);
  };

  const showSockets = (event) => {
    const rows = socketsAt(step);
    id("rows").replaceChildren(...rows.map(({ lane, fd, state, fresh, gone }) => {
      const mine = lane === event.lane && fd === event.fd;
      const row = make("tr", "", gone ? "gone" : fresh || mine ? "now" : "");
      row.append(...[data.lanes[lane].title, fd, ...state].map((text) => make("td", text)));
      return row;
    }));
    id("none").hidden = rows.length > 0;
    const now = id("rows").querySelector(".now, .gone");
    if (now) now.scrollIntoView({ block: "nearest" });
    id("sockets").scrollLeft = 0; // a row may be wider than its pane, and begins with whose it is
  };

  const showEvent = (event) => {
    const lane = data.lanes[event.lane];
    id("who").textContent = lane.pid === null ? lane.title : `${lane.title} · pid ${lane.pid}`;
    id("call").textContent = event.call;
    id("why").textContent = event.why;
    id("facts").replaceChildren(...event.facts.map(([name, text]) => {
      const fact = document.createElement("div");
      fact.append(make("dt", name), make("dd", text));
      return fact;
    }));
  };

  // Below the middle: what is still to come is not shown, and what has been is to be seen.
  const follow = (box) => {
    const pane = id("lanes").getBoundingClientRect();
    id("lanes").scrollTop += box.top - (pane.top + pane.height * 0.7);
    if (box.left < pane.left) id("lanes").scrollLeft += box.left - pane.left - 20;
    if (box.right > pane.right) id("lanes").scrollLeft += box.right - pane.right + 20;
  };

  const show = (wanted, scroll = true) => {
    step = Math.min(Math.max(wanted, 0), last);
    const event = data.events[step];
    for (const [part, at] of parts) {
      part.classList.toggle("future", at > step);
      part.classList.toggle("now", at === step);
    }
    showEvent(event);
    showSockets(event);
    id("slider").value = step + 1;
    id("slider").setAttribute("aria-valuetext", event.call);
    id("count").textContent = `${step + 1} / ${last + 1}`;
    id("first").disabled = id("back").disabled = step === 0;
    id("last").disabled = id("next").disabled = step === last;
    history.replaceState(null, "", `#${step + 1}`);
    const box = boxes.get(step);
    if (scroll && box) follow((box.querySelector("rect, .packet") || box).getBoundingClientRect());
  };

  const keys = {
    ArrowRight: () => step + 1, ArrowLeft: () => step - 1, PageDown: () => step + 10, PageUp: () => step - 10,
    Home: () => 0, End: () => last,
  };
  // On the document, so that it works before anything has been clicked; a slider with the focus would move twice.
  document.addEventListener("keydown", (event) => {
    const go = keys[event.key];
    if (!go || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show(go());
  });
  id("slider").max = last + 1;
  id("slider").addEventListener("input", (event) => show(Number(event.target.value) - 1));
  id("first").addEventListener("click", () => show(0));
  id("back").addEventListener("click", () => show(step - 1));
  id("next").addEventListener("click", () => show(step + 1));
  id("last").addEventListener("click", () => show(last));
  for (const [at, part] of boxes) part.addEventListener("click", () => show(at, false));
  const hash = () => Number(location.hash.slice(1)) || 1;
  window.addEventListener("hashchange", () => show(hash() - 1));
  show(hash() - 1);
})();
