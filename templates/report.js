"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  const all = (what, where = document) => [...where.querySelectorAll(what)];
  const PAGE = 100;

  for (const button of all(".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = button.parentElement.querySelector("pre").textContent;
      try {
        await navigator.clipboard.writeText(text);
      } catch {  // a page that was opened as a file may not have a clipboard of its own
        const area = document.createElement("textarea");
        area.value = text;
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
        button.focus();
      }
      button.firstChild.data = "Copied";
      setTimeout(() => { button.firstChild.data = "Copy"; }, 2000);
    });
  }

  const filters = by("filters");
  if (!filters) return;
  filters.hidden = false;

  const cards = all(".finding").map((card) => ({
    card,
    severity: card.dataset.severity,
    rule: card.dataset.rule,
    fresh: "new" in card.dataset,
    waived: "waived" in card.dataset,
    text: `${card.parentElement.dataset.service} ${card.querySelector("h3").textContent}`.toLowerCase(),
  }));
  const sections = all(".service").map((section) => ({
    section, own: cards.filter((one) => one.card.parentElement === section),
  }));
  const packed = by("packed") ? JSON.parse(by("packed").textContent) : null;
  const rest = packed ? packed.findings.map(([severity, rule, service, key, fresh, waived, says, id]) => ({
    severity: packed.severities[severity], rule: packed.rules[rule], service: packed.services[service],
    key, fresh: fresh === 1, waived: waived === 1, says, id,
    text: `${packed.services[service]} ${packed.rules[rule]} ${key}`.toLowerCase(),
  })) : [];
  let shown = PAGE;

  const element = (name, kind, text) => {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    if (text) made.textContent = text;
    return made;
  };
  const card = (one) => {
    const made = element("article", `finding ${one.severity}${one.waived ? " waived" : ""}`);
    made.id = `f-${one.id}`;
    const title = element("h3");
    title.append(element("span", "severity", one.severity), " ", element("span", "rule", one.rule));
    title.append(" ", element("code", "", one.key || one.service));
    if (one.fresh) title.append(" ", element("span", "new", "new"));
    made.append(title, element("p", "says", `${one.service}: ${one.says}`));
    return made;
  };

  const chosen = () => {
    const words = by("words").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const severities = new Set(all("[name=severity]:checked", filters).map((box) => box.value));
    const rule = by("rule").value;
    const fresh = Boolean(by("new") && by("new").checked);
    const open = by("open").checked;
    return (one) => severities.has(one.severity) && (!rule || one.rule === rule)
      && (!fresh || one.fresh) && (!open || !one.waived) && words.every((word) => one.text.includes(word));
  };
  const apply = () => {
    const wanted = chosen();
    let count = 0;
    for (const one of cards) {
      const keep = wanted(one);
      if (one.card.hidden === keep) one.card.hidden = !keep;
      count += keep;
    }
    const everything = cards.length + rest.length;
    const found = rest.filter(wanted);
    if (packed) {
      by("rest").replaceChildren(...found.slice(0, shown).map(card));
      by("next").hidden = found.length <= shown;
    }
    count += found.length;
    for (const { section, own } of sections) {
      section.hidden = count < everything && !own.some((one) => !one.card.hidden);
    }
    by("count").textContent = count === everything
      ? `All ${everything} findings are shown.` : `${count} of ${everything} findings are shown.`;
  };
  let timer = 0;
  filters.addEventListener("input", () => {
    shown = PAGE;
    clearTimeout(timer);
    timer = setTimeout(apply, 60);
  });
  filters.addEventListener("reset", () => { shown = PAGE; setTimeout(apply); });
  filters.addEventListener("submit", (event) => event.preventDefault());
  if (packed) by("next").addEventListener("click", () => { shown += PAGE; apply(); });
  apply();
})();
