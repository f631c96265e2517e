// Not deferred, so it runs before the page has any button: until the deferred scripts listen, no click reaches one.
// Otherwise a click on a slow connection is lost without a trace. DOMContentLoaded follows the deferred scripts, even
// one that could not be loaded, so that links work in any case.
(() => {
  const root = document.documentElement;
  root.inert = true;
  document.addEventListener("DOMContentLoaded", () => { root.inert = false; });
})();
