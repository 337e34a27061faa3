"use strict";
for (const button of document.querySelectorAll("button[data-path]")) {
  button.hidden = false;
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    if (!confirm(button.dataset.question)) return;
    button.disabled = true;
    const { method, path } = button.dataset;
    try {
      const answer = await fetch(path, { method });
      if (answer.ok) return location.reload();
      alert(answer.status + ": " + (await answer.text()));
    } catch (error) {
      alert(error);
    }
    button.disabled = false;
  });
}
