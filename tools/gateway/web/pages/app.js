// Brings the home page up to date while it is open, and tells a screen reader what has changed. Everything else works
// without a script.
"use strict";

const busyMilliseconds = 2000;
const idleMilliseconds = 15000;

function wait() {
  const live = document.getElementById("live");
  if (live !== null) setTimeout(refresh, live.dataset.busy === "true" ? busyMilliseconds : idleMilliseconds);
}

function refresh() {
  // Whoever reads or selects something keeps it.
  if (document.hidden || !getSelection().isCollapsed) {
    wait();
    return;
  }
  const request = new XMLHttpRequest();
  request.open("GET", "/live");
  request.responseType = "document";
  request.timeout = 10000;
  request.onload = () => {
    const fresh = request.status === 200 && request.response !== null && request.response.getElementById("live");
    if (fresh) replace(fresh);
    wait();
  };
  request.onerror = wait;
  request.ontimeout = wait;
  request.send();
}

function replace(fresh) {
  const old = document.getElementById("live");
  if (old.isEqualNode(fresh)) return;
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  const open = [...old.querySelectorAll("details")].map((details) => details.open);
  old.replaceWith(document.adoptNode(fresh));
  fresh.querySelectorAll("details").forEach((details, i) => {
    details.open = open[i] === true;
  });
  const again = focused && document.getElementById(focused);
  if (again) again.focus({ preventScroll: true });
  const announce = document.getElementById("announce");
  if (announce !== null && old.dataset.spoken !== fresh.dataset.spoken) announce.textContent = fresh.dataset.spoken;
}

wait();
