// The buttons of the console. Each element has in data-* what it posts and what follows; nothing is inline, so that the
// Content-Security-Policy can forbid inline scripts. Airflow's frame ignores confirm(), so questions are <dialog>s.
(() => {
  const notice = document.getElementById("notice");
  const MESSAGE = "interlock-message";

  function show(text, isError = false) {
    notice.textContent = text;
    notice.classList.toggle("error", isError);
    notice.setAttribute("role", isError ? "alert" : "status");
    notice.hidden = false;
    notice.scrollIntoView({ block: "nearest" });
  }

  function leave(address, text) {
    try { sessionStorage.setItem(MESSAGE, text); } catch { /* the page changes all the same */ }
    if (address) location.assign(address); else location.reload();
  }

  async function post(address, body) {
    const answer = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(body),
    });
    let result = {};
    try { result = await answer.json(); } catch { /* no JSON: the status must do */ }
    if (answer.ok) return result;
    if (answer.status === 401) throw new Error("You are logged out: reload the page and log in again");
    const detail = Array.isArray(result.detail) ? result.detail.map((d) => d.msg).join("; ") : result.detail;
    throw new Error(detail || `the server answered ${answer.status}`);
  }

  function describe(result, text) {
    const parts = [text];
    if (result.state === "open" && !("warnings" in result)) parts[0] = "Your vote is recorded; more votes are needed";
    if (result.warnings?.length) parts.push(`The policy warns: ${result.warnings.join("; ")}`);
    if (result.note) parts.push(result.note);
    if (result.gate_is_done) parts.push("That was the last case: the run continues within seconds");
    return parts.join(". ") + ".";
  }

  async function act(button, extra = {}) {
    button.disabled = true;
    try {
      const result = await post(button.dataset.post, { ...JSON.parse(button.dataset.body || "{}"), ...extra });
      leave(button.dataset.then, describe(result, button.dataset.done));
    } catch (error) {
      show(error.message, true);
      button.disabled = false;
    }
  }

  // A number leads to its source, which may be folded away.
  const unfold = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = target && target.closest("details[data-unfold]");
    if (!folded || folded.open) return;
    folded.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  unfold();

  // A button of a page opens a dialog; what the dialog asks for goes along with what the button posts.
  let opener = null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.close !== undefined) {
      button.closest("dialog").close();
    } else if (button.dataset.open) {
      opener = button;
      document.getElementById(button.dataset.open).showModal();
    } else if (button.dataset.post) {
      act(button);
    }
  });
  for (const form of document.querySelectorAll("form[data-dialog]")) {
    form.addEventListener("submit", () => act(opener, { reason: form.elements.reason.value.trim() }));
  }

  // Editing: only changed fields are posted; of a form that starts empty, all that were filled in.
  function valueOf(field) {
    switch (field.dataset.kind) {
      case "flag": return field.checked;
      case "number": return field.value === "" ? null : Number(field.value);
      case "lines": return field.value.split("\n").map((line) => line.trim()).filter(Boolean);
      case "json": return field.value.trim() === "" ? null : JSON.parse(field.value);
      default: return field.value;
    }
  }
  const isChanged = (field) =>
    field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue;
  const isWritten = (field) => ["flag", "lines"].includes(field.dataset.kind) || field.value.trim() !== "";
  for (const form of document.querySelectorAll("form[data-edit]")) {
    const isPosted = form.dataset.whole === undefined ? isChanged : isWritten;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = form.querySelector("button[type=submit]");
      const changes = {};
      try {
        for (const field of form.querySelectorAll("[data-kind]")) {
          if (isPosted(field)) changes[field.name] = valueOf(field);
        }
      } catch (error) {
        show(`a field is not valid JSON: ${error.message}`, true);
        return;
      }
      if (!Object.keys(changes).length && form.dataset.mayBeSame === undefined) {
        show("Nothing was changed.", true);
        return;
      }
      button.disabled = true;
      try {
        const body = form.dataset.digest ? { changes, digest: form.dataset.digest } : { changes };
        leave("", describe(await post(form.dataset.edit, body), form.dataset.done));
      } catch (error) {
        show(error.message, true);
        button.disabled = false;
      }
    });
  }

  // Several at once: one vote per case, each with the digest of what its row shows.
  const bulk = document.getElementById("bulk");
  if (bulk) {
    const boxes = [...bulk.querySelectorAll("input[name=case]")];
    const all = bulk.querySelector("[data-tick-all]");
    const ticked = () => boxes.filter((box) => box.checked);
    const count = () => {
      const number = ticked().length;
      for (const place of document.querySelectorAll("[data-ticked]")) place.textContent = number;
      for (const button of bulk.querySelectorAll("[data-needs-tick]")) button.disabled = number === 0;
      if (all) {
        all.checked = number > 0 && number === boxes.length;
        all.indeterminate = number > 0 && number < boxes.length;
      }
    };
    bulk.addEventListener("submit", (event) => event.preventDefault());
    bulk.addEventListener("change", (event) => {
      if (event.target === all) for (const box of boxes) box.checked = all.checked;
      count();
    });
    count();
    for (const form of document.querySelectorAll("form[data-vote-ticked]")) {
      form.addEventListener("submit", async () => {
        const chosen = ticked();
        const answer = form.dataset.voteTicked;
        const reason = form.elements.reason?.value.trim();
        const failed = [];
        let done = 0;
        let last = {};
        for (const button of bulk.querySelectorAll("button")) button.disabled = true;
        for (const box of chosen) {
          show(`${done + failed.length + 1} of ${chosen.length} …`);
          try {
            const body = { answer, digest: box.dataset.digest, ...(reason ? { reason } : {}) };
            last = await post(`${bulk.dataset.bulk}/${box.value}/vote`, body);
            done += 1;
          } catch (error) {
            failed.push(`${box.dataset.key}: ${error.message}`);
          }
        }
        const word = answer === "approve" ? "approved" : "rejected";
        const text = describe({ gate_is_done: last.gate_is_done }, `${done} ${word}`);
        leave("", failed.length ? `${text} Not done: ${failed.join("; ")}` : text);
      });
    }
  }

  // A page of Airflow itself: a plain link would load a second Airflow inside the frame.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-core]");
    if (!link || window.parent === window) return;
    event.preventDefault();
    window.parent.history.pushState({}, "", link.getAttribute("href"));
    window.parent.dispatchEvent(new PopStateEvent("popstate"));
  });

  try {
    const message = sessionStorage.getItem(MESSAGE);
    if (message) show(message, message.includes("Not done:"));
    sessionStorage.removeItem(MESSAGE);
  } catch { /* storage is switched off */ }
})();
