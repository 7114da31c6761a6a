"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  const all = (what, where = document) => [...where.querySelectorAll(what)];
  const PAGE = 100;

  const copies = (button) => {
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
  };
  all(".copy").forEach(copies);

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
  const places = all(".service").map((place) => ({
    place, own: cards.filter((one) => one.card.parentElement === place),
  }));
  const packed = by("packed");
  let kept = packed ? null : [];
  const rest = () => kept || (kept = unpacked(JSON.parse(packed.textContent)));
  const unpacked = ({ severities, rules, services, findings }) => findings.map(
    ([severity, rule, service, key, fresh, waived, says, id]) => ({
      severity: severities[severity], rule: rules[rule], service: services[service],
      key, fresh: fresh === 1, waived: waived === 1, says, id,
      text: `${services[service].name} ${rules[rule]} ${key}`.toLowerCase(),
    }),
  );
  let shown = PAGE;

  const element = (name, kind, text) => {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    if (text) made.textContent = text;
    return made;
  };
  const sentence = (made, pieces) => {
    made.append(...pieces.map((piece, i) => (i % 2 ? element("code", "", piece) : piece)));
    return made;
  };
  const card = (one) => {
    const made = element("article", `finding ${one.severity}${one.waived ? " waived" : ""}`);
    made.id = `f-${one.id}`;
    const title = element("h4");
    title.append(element("span", "severity", one.severity), " ", element("span", "rule", one.rule));
    if (one.key) title.append(" ", element("code", "", one.key));
    if (one.fresh) title.append(" ", element("span", "new", "new"));
    made.append(title, sentence(element("p", "says"), one.says));
    return made;
  };
  const command = ([label, words]) => {
    const made = element("div", "command");
    const text = element("pre", "", words);
    text.tabIndex = 0;
    text.setAttribute("role", "group");
    text.setAttribute("aria-label", label);
    const button = element("button", "copy", "Copy");
    button.type = "button";
    button.append(element("span", "quiet", ` the command: ${label}`));
    copies(button);
    made.append(element("p", "label", label), text, button);
    return made;
  };
  const section = ({ name, facts, commands, note }) => {
    const made = element("section", "service");
    const list = element("dl");
    for (const [what, pieces] of facts) list.append(element("dt", "", what), sentence(element("dd"), pieces));
    made.append(element("h3", "", name), list);
    if (commands.length || note) {
      const remedy = element("div", "remedy");
      remedy.append(...commands.map(command));
      if (note) remedy.append(element("p", "", note));
      made.append(remedy);
    }
    return made;
  };
  const sectioned = (found) => {
    const made = [];
    let of = null;
    for (const one of found) {
      if (one.service !== of) made.push(section(of = one.service));
      made[made.length - 1].append(card(one));
    }
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
    const everything = cards.length + rest().length;
    const found = rest().filter(wanted);
    if (packed) {
      by("rest").replaceChildren(...sectioned(found.slice(0, shown)));
      by("next").hidden = found.length <= shown;
    }
    count += found.length;
    for (const { place, own } of places) {
      place.hidden = count < everything && !own.some((one) => !one.card.hidden);
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
  if (packed) {
    by("next").addEventListener("click", () => { shown += PAGE; apply(); });
    by("count").textContent = `All ${packed.dataset.total} findings are shown.`;
    setTimeout(apply, 100);  // what stands in the page can be read before the rest is unpacked
  } else {
    apply();
  }
})();
