// The "Watch them wait" section: a small model of the four strategies.
// One tick is one system call by one thread, except that poll takes a tick for every
// ENTRIES_PER_TICK entries in its list. The page is complete without it.
"use strict";

(() => {
  const section = document.getElementById("watch");
  const root = document.getElementById("sim");
  if (!section || !root) return;

  // ---- Traffic: [slot, tick at which it connects, tick at which it sends].
  // The list repeats every `period` ticks; "once" happens only at the start.
  const TRAFFIC = {
    silent: {
      label: "one silent client", slots: 8, period: 80,
      visits: [[0, 1, 52], [1, 5, 7], [2, 12, 14], [4, 24, 27], [5, 36, 38], [3, 60, 63]],
    },
    steady: {
      label: "everyone prompt", slots: 8, period: 64,
      visits: [[0, 2, 3], [3, 10, 11], [1, 18, 19], [6, 26, 27], [4, 34, 35], [7, 42, 43], [2, 50, 51]],
    },
    crowd: {
      label: "a crowd, mostly silent", slots: 24, period: 0,
      once: [
        ...Array.from({ length: 24 }, (_, i) => [i, 1 + (i >> 2), -1]),
        [6, -1, 45], [17, -1, 62], [2, -1, 80], [21, -1, 98], [11, -1, 116], [14, -1, 120],
      ],
    },
    none: { label: "only what you press", slots: 8, period: 0 },
  };
  const name = (slot) => String.fromCharCode(65 + slot);
  const names = (list) => {
    const all = list.map((c) => name(c.slot));
    if (all.length > 4) return `${all.length} clients`;
    return all.length > 1 ? `${all.slice(0, -1).join(", ")} and ${all.at(-1)}` : all[0];
  };

  // ---- The strategies. Each has backlog (not accepted) and open (accepted)
  // connections, and tick() returns "work", "vain" or "sleep".
  class Strategy {
    constructor() {
      Object.assign(this, { backlog: [], open: [], answered: 0, calls: 0, inVain: 0, longest: 0, threads: 1, said: "", now: null, vainNow: false, checked: [] });
    }
    connected(conn) { this.backlog.push(conn); }
    sent() {}
    accept() { const c = this.backlog.shift(); this.open.push(c); return c; }
    answer(conn, t) {
      this.open.splice(this.open.indexOf(conn), 1);
      this.answered++;
      this.longest = Math.max(this.longest, t - conn.sentAt);
    }
    did(conn, said) { this.calls++; this.now = conn; this.said = said; return "work"; }
    vain(conn, said) { this.calls++; this.inVain++; this.now = conn; this.vainNow = true; this.said = said; return "vain"; }
    sleep(said) { this.said = said; return "sleep"; }
    step(t) { this.now = null; this.vainNow = false; this.checked = []; return this.tick(t); }
    held() { return []; }
    waitNow(t) {
      const late = [...this.backlog, ...this.open].filter((c) => c.sentAt !== null).map((c) => t - c.sentAt);
      return Math.max(this.longest, ...late);
    }
  }

  class Blocking extends Strategy {
    // model: 1 (iterative), n (pool of n), or "thread" (one per connection)
    constructor(model) {
      super();
      this.spawns = model === "thread";
      this.team = Array.from({ length: this.spawns ? 1 : model }, () => ({ conn: null, got: false }));
    }
    held() { return this.team.filter((w) => w.conn && !w.got && w.conn.sentAt === null).map((w) => w.conn); }
    tick(t) {
      const told = [];
      for (const w of [...this.team]) {
        if (!w.conn) {
          if (!this.backlog.length) continue;
          const c = this.accept();
          if (this.spawns) this.team.push({ conn: c, got: false, own: true });
          else w.conn = c;
          this.did(c, "");
          told.push(`accept: ${name(c.slot)}${this.spawns ? " gets a thread" : ""}`);
        } else if (w.got) {
          const c = w.conn;
          this.answer(c, t);
          this.did(c, "");
          told.push(`send: ${name(c.slot)} is answered`);
          w.conn = null; w.got = false;
          if (w.own) this.team.splice(this.team.indexOf(w), 1);
        } else if (w.conn.sentAt !== null) {
          w.got = true;
          this.did(w.conn, "");
          told.push(`recv: the request of ${name(w.conn.slot)}`);
        }
      }
      this.threads = this.team.length;
      const held = this.held();
      const behind = this.backlog.length ? ` In the backlog: ${names(this.backlog)}.` : "";
      if (told.length) { this.said = told.join("; ") + "." + behind; return "work"; }
      return this.sleep(held.length ? `Asleep in recv, for ${names(held)}.${behind}` : "Asleep in accept.");
    }
  }

  class PollList extends Strategy {
    constructor() { super(); this.at = -1; this.got = null; }
    tick(t) {
      if (this.at >= this.open.length) this.at = -1;
      if (this.at < 0) {
        if (this.backlog.length) { const c = this.accept(); return this.did(c, `accept: ${name(c.slot)} joins the list.`); }
        this.at = 0;
        return this.vain(null, "accept: no one. WouldBlock.");
      }
      const c = this.open[this.at];
      if (this.got === c) {
        this.got = null;
        this.answer(c, t);
        return this.did(c, `send: ${name(c.slot)} is answered.`);
      }
      if (c.sentAt !== null) { this.got = c; return this.did(c, `recv: the request of ${name(c.slot)}.`); }
      this.at++;
      return this.vain(c, `recv: nothing from ${name(c.slot)}. WouldBlock.`);
    }
  }

  const ENTRIES_PER_TICK = 4;
  class Poll extends Strategy {
    constructor() { super(); this.list = null; this.at = 0; this.todo = []; this.got = false; }
    isReady(entry) { return entry === "listener" ? this.backlog.length > 0 : entry.sentAt !== null; }
    tick(t) {
      if (!this.todo.length) {
        if (!this.list) {
          const list = ["listener", ...this.open];
          if (!list.some((entry) => this.isReady(entry))) {
            return this.sleep(this.open.length ? `Asleep in poll, for ${names(this.open)} and the listener.` : "Asleep in poll, for the listener.");
          }
          this.list = list; this.at = 0;
        }
        return this.check();
      }
      const entry = this.todo[0];
      if (entry === "listener") {
        if (this.backlog.length) { const c = this.accept(); return this.did(c, `accept: ${name(c.slot)} joins the list.`); }
        this.todo.shift();
        return this.vain(null, "accept: no one else. WouldBlock.");
      }
      this.got = !this.got;
      if (this.got) return this.did(entry, `recv: the request of ${name(entry.slot)}.`);
      this.todo.shift();
      this.answer(entry, t);
      return this.did(entry, `send: ${name(entry.slot)} is answered.`);
    }
    // Goes on through the list. The call returns, and counts, at the end of it.
    check() {
      const total = this.list.length;
      this.checked = this.list.slice(this.at, this.at + ENTRIES_PER_TICK);
      this.at += this.checked.length;
      if (this.at < total) { this.said = `poll: ${this.at} of ${total} entries checked.`; return "vain"; }
      this.todo = this.list.filter((entry) => this.isReady(entry));
      this.list = null;
      const who = this.todo.map((e) => (e === "listener" ? "the listener" : name(e.slot))).join(", ");
      return this.did(null, `poll: ${this.todo.length} of ${total} ready: ${who}.`);
    }
  }

  class Mio extends Strategy {
    constructor() { super(); this.ready = []; this.todo = []; this.stage = 0; }
    edge(what) { if (!this.ready.includes(what)) this.ready.push(what); }
    connected(conn) { super.connected(conn); this.edge("listener"); }
    sent(conn) { if (this.open.includes(conn)) this.edge(conn); }
    tick(t) {
      if (!this.todo.length) {
        if (!this.ready.length) {
          return this.sleep(this.open.length ? `Asleep in epoll_wait, for ${names(this.open)} and the listener.` : "Asleep in epoll_wait, for the listener.");
        }
        this.todo = this.ready; this.ready = [];
        const who = this.todo.map((e) => (e === "listener" ? "the listener" : name(e.slot))).join(", ");
        return this.did(null, `epoll_wait: ready: ${who}.`);
      }
      const e = this.todo[0];
      if (e === "listener") {
        if (this.backlog.length) {
          const c = this.accept();
          if (c.sentAt !== null) this.edge(c);
          return this.did(c, `accept: ${name(c.slot)}, registered.`);
        }
        this.todo.shift();
        return this.vain(null, "accept: no one else. WouldBlock.");
      }
      this.stage = (this.stage + 1) % 3;
      if (this.stage === 1) return this.did(e, `recv: the request of ${name(e.slot)}.`);
      if (this.stage === 2) return this.vain(e, `recv: no more from ${name(e.slot)}. WouldBlock.`);
      this.todo.shift();
      this.answer(e, t);
      return this.did(e, `send: ${name(e.slot)} is answered.`);
    }
  }

  // ---- The page.
  const make = (tag, props = {}, ...kids) => {
    const el = Object.assign(document.createElement(tag), props);
    el.append(...kids);
    return el;
  };
  const choice = (text, options, onchange) => {
    const select = make("select", { onchange });
    for (const [value, label] of options) select.append(make("option", { value, textContent: label }));
    return [make("label", {}, text, select), select];
  };
  const HISTORY = 60;
  const FIELDS = ["answered", "calls made", "would block", "longest wait", "threads"];

  const step = make("button", { type: "button", textContent: "Step", onclick: () => { pause(); advance(); } });
  const play = make("button", { type: "button", textContent: "Play", className: "go", onclick: () => (timer ? pause() : start()) });
  const again = make("button", { type: "button", textContent: "Reset", onclick: () => reset() });
  const [trafficLabel, traffic] = choice("Traffic", Object.entries(TRAFFIC).map(([k, v]) => [k, v.label]), () => reset());
  const [modelLabel, model] = choice("Blocking model", [["1", "iterative"], ["thread", "thread (or process)"], ["3", "pool of three"]], () => reset());
  const [speedLabel, speed] = choice("Speed", [["500", "slow"], ["200", "medium"], ["60", "fast"]], () => { if (timer) { pause(); start(); } });
  speed.value = "200";
  const clock = make("span", { className: "tick" });
  const clientBox = make("div", { className: "clients" });
  clientBox.setAttribute("role", "group");
  clientBox.setAttribute("aria-label", "Clients");

  const lane = (key, title) => {
    const cells = make("div", { className: "cells" });
    const strip = make("div", { className: "strip" });
    for (const el of [cells, strip]) el.setAttribute("aria-hidden", "true");
    const said = make("p", { className: "said" });
    const numbers = FIELDS.map(() => make("dd"));
    const tally = make("dl", { className: "tally" }, ...FIELDS.map((f, i) => make("div", {}, make("dt", { textContent: f }), numbers[i])));
    const el = make("div", { className: `lane ${key}` }, make("h3", { textContent: title }), cells, strip, said, tally);
    const bars = Array.from({ length: HISTORY }, () => strip.appendChild(make("i")));
    return { el, cells, bars, said, numbers };
  };
  const lanes = [lane("blk", "blocking"), lane("pol", "poll-list"), lane("lvl", "poll"), lane("mio", "mio")];
  const legend = make("ul", { className: "legend" }, ...[
    ["backlog", "in the backlog"], ["open", "accepted, silent"], ["open asked", "request has arrived"],
    ["open held", "a thread sleeps for it"], ["open now", "visited in this tick"], ["open now vain", "visited, not ready"],
  ].map(([cls, text]) => make("li", {}, make("span", { className: `cell ${cls}`, ariaHidden: "true" }), text)));
  root.append(
    make("div", { className: "bar" }, trafficLabel, modelLabel, speedLabel),
    make("div", { className: "bar run" }, play, step, again, clock),
    clientBox,
    make("div", { className: "lanes" }, ...lanes.map((l) => l.el)),
    legend,
    make("p", { className: "note", textContent: "A toy, so read it for the shape and not for the numbers: in life a system call is far shorter than the gaps between requests, the calls differ in cost, and this model closes each connection after one answer. With a few prompt clients, asking round even looks quick; choose the crowd to see what it comes to, and what poll’s list costs at each wake-up." }),
  );

  let t, plan, slots, history, strategies, timer = null;

  function reset() {
    pause();
    t = 0;
    plan = TRAFFIC[traffic.value];
    slots = Array.from({ length: plan.slots }, () => ({ conn: null }));
    strategies = [new Blocking(model.value === "thread" ? "thread" : Number(model.value)), new PollList(), new Poll(), new Mio()];
    history = strategies.map(() => []);
    for (const s of strategies) s.said = "Not started.";
    clientBox.replaceChildren(...slots.map((slot, i) => {
      slot.word = make("span");
      slot.button = make("button", { type: "button", onclick: () => { press(i); draw(); } }, make("b", { textContent: name(i) }), slot.word);
      return slot.button;
    }));
    for (const l of lanes) l.cells.replaceChildren(...slots.map((_, i) => make("span", { className: "cell" }, make("span", { textContent: name(i) }))));
    draw();
  }

  function connect(i) {
    if (slots[i].conn) return;
    slots[i].conn = { slot: i, sentAt: null };
    for (const s of strategies) s.connected(slots[i].conn);
  }
  function send(i) {
    const conn = slots[i].conn;
    if (!conn) return;
    conn.sentAt = t;
    slots[i].conn = null; // the client is free to come back, on a new connection
    for (const s of strategies) s.sent(conn);
  }
  const press = (i) => (slots[i].conn ? send(i) : connect(i));

  function advance() {
    t++;
    const phase = plan.period ? t % plan.period : t;
    for (const [slot, on, ask] of [...(plan.visits || []), ...(plan.once || [])]) {
      if (phase === on) connect(slot);
      if (phase === ask) send(slot);
    }
    strategies.forEach((s, i) => {
      history[i].push(s.step(t));
      if (history[i].length > HISTORY) history[i].shift();
    });
    draw();
  }

  function draw() {
    clock.textContent = `tick ${t}`;
    for (const slot of slots) {
      slot.word.textContent = slot.conn ? "send" : "connect";
      slot.button.classList.toggle("open", Boolean(slot.conn));
    }
    strategies.forEach((s, k) => {
      const l = lanes[k];
      const held = new Set(s.held());
      [...l.cells.children].forEach((cell, i) => {
        const conn = s.open.find((c) => c.slot === i) || s.backlog.find((c) => c.slot === i);
        const cls = ["cell"];
        if (conn) {
          cls.push(s.open.includes(conn) ? "open" : "backlog");
          if (conn.sentAt !== null) cls.push("asked");
          if (held.has(conn)) cls.push("held");
        }
        if (s.now && s.now.slot === i) {
          cls.push("now");
          if (s.vainNow && !cls.includes("asked")) cls.push("vain");
        }
        if (conn && s.checked.includes(conn)) {
          cls.push("now");
          if (!cls.includes("asked")) cls.push("vain");
        }
        cell.className = cls.join(" ");
      });
      const pad = HISTORY - history[k].length;
      l.bars.forEach((bar, i) => { bar.className = i < pad ? "" : history[k][i - pad]; });
      l.said.textContent = s.said;
      [s.answered, s.calls, s.inVain, s.waitNow(t), s.threads].forEach((n, i) => { l.numbers[i].textContent = n; });
    });
  }

  function start() {
    timer = setInterval(advance, Number(speed.value));
    play.textContent = "Pause";
    for (const l of lanes) l.said.setAttribute("aria-live", "off");
  }
  function pause() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
    for (const l of lanes) l.said.setAttribute("aria-live", "polite");
  }
  document.addEventListener("visibilitychange", () => { if (document.hidden) pause(); });

  reset();
  section.hidden = false;
  document.getElementById("watch-link").hidden = false;
  if (location.hash === "#watch") section.scrollIntoView();
})();
