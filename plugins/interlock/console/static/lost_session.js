// Airflow's frame may not navigate its top, and the login must not open inside it. A link of the top's own document may.
(() => {
  const link = document.getElementById("login");
  const here = window.parent === window ? window : window.parent;
  const address = new URL(link.href, here.location.href);
  address.searchParams.set("next", here.location.href);
  const go = () => {
    const out = here.document.createElement("a");
    out.href = address.href;
    here.document.body.append(out);
    out.click();
  };
  link.addEventListener("click", (event) => { event.preventDefault(); go(); });
  go();
})();
