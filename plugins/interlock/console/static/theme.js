// Follows Airflow's theme: in its frame live, by the class of its <html>; alone, by what Airflow stored, or the system's.
(() => {
  const root = document.documentElement;
  let host = null;
  try {
    if (window.parent !== window) host = window.parent.document.documentElement;
  } catch { /* a frame of another origin: the headers forbid it */ }
  const isDark = () => {
    if (host) return host.classList.contains("dark");
    let stored = null;
    try { stored = localStorage.getItem("theme"); } catch { /* storage is switched off */ }
    if (stored === "dark" || stored === "light") return stored === "dark";
    return matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const apply = () => { root.dataset.theme = isDark() ? "dark" : "light"; };
  apply();
  if (host) {
    root.classList.add("framed");
    new MutationObserver(apply).observe(host, { attributes: true, attributeFilter: ["class"] });
  } else {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  }
})();
