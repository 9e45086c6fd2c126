// What needs a script: the charts, the counters' filter, and opening everything for print. All numbers are in the page without it.
(function () {
  "use strict";
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  root.classList.add("js");

  // --- the filter of the counters

  const filter = byId("filter");
  if (filter) {
    const bodies = Array.from(byId("counters").tBodies, (body) => {
      const head = body.querySelector(".group");
      const name = head ? head.textContent.trim() : "";
      return { body, rows: Array.from(body.querySelectorAll("tr:not(.group)"), (row) => ({ row, name: name + row.cells[0].textContent })) };
    });
    const matcher = (text) => {
      const pattern = /^\/(.*)\/$/.exec(text);
      if (pattern) {
        try { const regex = new RegExp(pattern[1], "i"); return (name) => regex.test(name); } catch (error) { return () => false; }
      }
      const parts = text.toLowerCase().split(/\s+/);
      return (name) => parts.every((part) => name.toLowerCase().includes(part));
    };
    const apply = () => {
      const matches = matcher(filter.value.trim());
      let shown = 0, all = 0;
      for (const { body, rows } of bodies) {
        let inBody = 0;
        for (const { row, name } of rows) { row.hidden = !matches(name); inBody += !row.hidden; }
        body.hidden = !inBody;
        shown += inBody; all += rows.length;
      }
      byId("filter-count").textContent = shown + " of " + all;
    };
    filter.addEventListener("input", apply);
    apply();
  }

  // --- print: everything open, charts in the light colours and as wide as paper

  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    for (const box of opened) box.open = true;
    root.classList.add("printing");
    draw(680);
  });
  window.addEventListener("afterprint", () => {
    for (const box of opened) box.open = false;
    root.classList.remove("printing");
    draw();
  });

  // --- charts

  const source = byId("data");
  let plots = [];
  let draw = () => {};
  if (!source || typeof uPlot === "undefined") return;
  const data = JSON.parse(source.textContent);
  const hidden = new Set();
  const seconds = (ms) => ms == null ? "–" : ms >= 1000 ? figure(ms / 1000) + " s" : figure(ms) + " ms";
  const figure = (value) => value === 0 ? "0" : value >= 99.95 ? value.toFixed(0) : value.toPrecision(3);
  const tickText = (ms) => ms === 0 ? "0" : ms >= 1000 ? +(ms / 1000).toPrecision(4) + " s" : +ms.toPrecision(4) + " ms";
  const logit = (share) => Math.log(share / (1 - share));
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const ink = (variant, alpha) => withAlpha(css("--series-" + variant.place % 8), alpha);
  const withAlpha = (hex, alpha) => hex + Math.round(alpha * 255).toString(16).padStart(2, "0");
  const dashOf = (variant) => variant.dash ? variant.dash.split(" ").map(Number) : undefined;

  function keyOf(variant) {
    const box = document.createElement("span");
    box.innerHTML = '<svg class="key s' + variant.place % 8 + '" viewBox="0 0 26 10" width="26" height="10" aria-hidden="true"><line x1="1" y1="5" x2="25" y2="5"/></svg>';
    if (variant.dash) box.querySelector("line").setAttribute("stroke-dasharray", variant.dash);
    return box.firstChild;
  }

  function axes(x, y) {
    const font = "12px " + css("--sans");
    const base = { stroke: css("--quiet"), font, ticks: { stroke: css("--line"), width: 1, size: 5 }, grid: { stroke: css("--line"), width: 1 } };
    return [Object.assign({}, base, x), Object.assign({}, base, { size: 62 }, y)];
  }

  function linearTicks(min, max, most) {
    const raw = (max - min) / most || 1, size = Math.pow(10, Math.floor(Math.log10(raw)));
    const step = size * [1, 2, 5, 10].find((factor) => size * factor >= raw);
    const ticks = [];
    for (let n = Math.ceil(min / step - 1e-9); n * step <= max * (1 + 1e-9); n++) ticks.push(+(n * step).toPrecision(12));
    return ticks;
  }

  function logTicks(min, max) {
    for (const factors of [[1, 2, 5], [1, 3], [1]]) {
      const ticks = [];
      for (let power = Math.floor(Math.log10(min)); power <= Math.log10(max); power++)
        for (const factor of factors) {
          const value = +(factor * Math.pow(10, power)).toPrecision(6);
          if (value >= min && value <= max) ticks.push(value);
        }
      if (factors.length === 3 && ticks.length < 3) return linearTicks(min, max, 5);
      if (ticks.length <= 8) return ticks;
    }
    return [min, max];
  }

  // A y axis of durations: logarithmic when the values span much, so that small ones can still be told apart.
  function latencyScale(values) {
    const known = values.filter((value) => value != null && value > 0);
    const min = Math.min(...known), max = Math.max(...known);
    if (!known.length) return { scale: { range: [0, 1] }, axis: {} };
    const wide = max / min > 8;
    const range = wide ? [min / 1.25, max * 1.25] : [0, max * 1.1];
    return {
      scale: wide ? { distr: 3, range: () => range } : { range: () => range },
      axis: {
        splits: () => wide ? logTicks(range[0], range[1]) : linearTicks(range[0], range[1], 5),
        filter: (u, splits) => splits, values: (u, splits) => splits.map(tickText),
      },
    };
  }

  function mount(id, options, table, width) {
    const box = byId(id);
    box.textContent = "";
    const common = { width: width || box.clientWidth || 640, legend: { show: false } };
    plots.push({ box, plot: new uPlot(Object.assign(common, options), table, box) });
  }

  function say(id, title, parts) {
    const box = byId(id);
    box.textContent = "";
    box.append(Object.assign(document.createElement("b"), { textContent: title + "  " }));
    for (const [variant, text] of parts) {
      const span = document.createElement("span");
      if (variant) span.append(keyOf(variant));
      span.append(text);
      box.append(span);
    }
  }

  // --- latency by percentile

  function curves(width) {
    if (!byId("chart-curves")) return;
    const { shares, whole, blocks } = data.curves;
    const full = (values) => shares.map((_, index) => index < values.length ? values[index] : null);
    const xs = shares.map(logit);
    const all = whole.concat(blocks.map((block) => block.y)).flat();
    const y = latencyScale(all);
    const named = [0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999].filter((share) => share <= shares[shares.length - 1] + 1e-9);
    const narrow = (width || byId("chart-curves").clientWidth) < 560;
    const labelled = narrow ? named.filter((share) => ![0.05, 0.25, 0.75, 0.95, 0.9999].includes(share)) : named;
    const nameOf = (share) => "p" + +(share * 100).toFixed(share > 0.99 ? 3 : share > 0.95 ? 2 : 1);
    const series = [{}];
    blocks.forEach((block) => series.push({
      stroke: ink(data.variants[block.v], 0.38), width: 1, points: { show: false }, show: !hidden.has(block.v), variant: block.v,
    }));
    data.variants.forEach((variant, index) => series.push({
      stroke: ink(variant, 1), width: 2.5, dash: dashOf(variant), points: { show: false }, show: !hidden.has(index), variant: index,
    }));
    mount("chart-curves", {
      height: narrow ? 280 : 360,
      scales: { x: { time: false, range: () => [xs[0], xs[xs.length - 1]] }, y: y.scale },
      axes: axes({ splits: () => labelled.map(logit), values: () => labelled.map(nameOf), filter: (u, splits) => splits }, y.axis),
      series,
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      hooks: { setCursor: [(u) => {
        const index = u.cursor.idx;
        if (index == null) return;
        say("read-curves", nameOf(shares[index]), data.variants.map((variant, v) => [variant, variant.name + " " + seconds(whole[v][index])]));
      }] },
    }, [xs].concat(blocks.map((block) => full(block.y)), whole.map(full)), width);
  }

  // --- all trials in run order

  const layout = (() => {
    const length = data.trials.reduce((sum, trial) => sum + trial.rate.length, 0);
    const between = Math.max(0.6, length * 0.004), betweenBlocks = Math.max(1.6, length * 0.012);
    const xs = [], owner = [];
    const trials = [], blocks = [];
    let at = 0;
    data.trials.forEach((trial, index) => {
      const before = data.trials[index - 1];
      const sameBlock = before && before.b === trial.b && before.a === trial.a;
      if (before) {
        const gap = sameBlock ? between : betweenBlocks;
        xs.push(at + gap / 2); owner.push(null);
        at += gap;
      }
      if (!sameBlock) blocks.push({ from: at, to: at, name: trial.b + (trial.a > 1 ? " again" : "") });
      const first = xs.length;
      trial.rate.forEach((_, point) => { xs.push(at + point + 0.5); owner.push([index, point]); });
      trials.push({ from: at, to: at + trial.rate.length, first });
      at += trial.rate.length;
      blocks[blocks.length - 1].to = at;
    });
    return { xs, owner, trials, blocks, end: at };
  })();

  function column(variant, field) {
    const values = new Array(layout.xs.length).fill(null);
    data.trials.forEach((trial, index) => {
      if (trial.v !== variant) return;
      for (let point = 0; point < trial.rate.length; point++)
        values[layout.trials[index].first + point] = trial[field] ? trial[field][point] : 0;
    });
    return values;
  }

  // Shades every second block and the time in which a change was switched on, marks each trial with its variant's colour, and hatches the trials that do not count.
  function ground(u) {
    const { ctx, bbox } = u, ratio = devicePixelRatio || 1;
    const px = (x) => Math.round(Math.min(Math.max(u.valToPos(x, "x", true), bbox.left), bbox.left + bbox.width));
    ctx.save();
    layout.blocks.forEach((block, index) => {
      if (index % 2) return;
      ctx.fillStyle = withAlpha(css("--ink"), 0.035);
      ctx.fillRect(px(block.from), bbox.top, px(block.to) - px(block.from), bbox.height);
    });
    layout.trials.forEach((place, index) => {
      const trial = data.trials[index], from = px(place.from), to = px(place.to);
      if (to <= from) return;
      if (trial.on) {
        const start = px(place.from + trial.on[0] / data.step), end = px(place.from + trial.on[1] / data.step);
        ctx.fillStyle = withAlpha(css("--bad"), 0.1);
        ctx.fillRect(start, bbox.top, end - start, bbox.height);
      }
      ctx.fillStyle = ink(data.variants[trial.v], 0.9);
      ctx.fillRect(from, bbox.top + bbox.height - 3 * ratio, to - from, 3 * ratio);
      if (!trial.why) return;
      ctx.save();
      ctx.beginPath(); ctx.rect(from, bbox.top, to - from, bbox.height); ctx.clip();
      ctx.strokeStyle = withAlpha(css("--bad"), 0.4); ctx.lineWidth = ratio; ctx.beginPath();
      for (let x = from - bbox.height; x < to; x += 8 * ratio) { ctx.moveTo(x, bbox.top + bbox.height); ctx.lineTo(x + bbox.height, bbox.top); }
      ctx.stroke();
      if (to - from < 16 * ratio) { ctx.restore(); return; }
      ctx.fillStyle = css("--bad"); ctx.font = "bold " + 12 * ratio + "px " + css("--sans"); ctx.textBaseline = "top";
      ctx.fillText("✗", from + 3 * ratio, bbox.top + 3 * ratio);
      ctx.restore();
    });
    ctx.restore();
  }

  function readTimeline(u) {
    const place = u.cursor.idx == null ? null : layout.owner[u.cursor.idx];
    if (!place) return;
    const trial = data.trials[place[0]], variant = data.variants[trial.v], point = place[1];
    const second = data.step > 1 ? "seconds " + (point * data.step + 1) + " to " + (point + 1) * data.step : "second " + (point + 1);
    const errors = trial.err ? trial.err[point] : 0;
    say("read-timeline", "Block " + trial.b + (trial.a > 1 ? ", attempt " + trial.a : "") + ", " + second, [
      [variant, variant.name], [null, figure(trial.rate[point]) + " requests/s"], [null, figure(errors) + " errors/s"],
      [null, "p50 " + seconds(trial.p50[point])], [null, "p95 " + seconds(trial.p95[point])],
    ].concat(trial.why ? [[null, "does not count: " + trial.why]] : []));
  }

  function timeline(id, lines, y, last, width) {
    const series = [{}], table = [layout.xs];
    data.variants.forEach((variant, index) => lines.forEach((line) => {
      series.push({
        stroke: ink(variant, line.alpha), width: line.width, show: !hidden.has(index), variant: index,
        points: { show: (u, s, from, to) => (to - from) < u.bbox.width / (devicePixelRatio || 1) / 10, size: line.width + 3, fill: ink(variant, line.alpha) },
      });
      table.push(column(index, line.field));
    }));
    const boxWidth = width || byId(id).clientWidth || 640;
    const every = Math.ceil(layout.blocks.length / Math.max(1, Math.floor((boxWidth - 70) / 48)));
    const shown = layout.blocks.filter((_, index) => index % every === 0);
    const x = {
      splits: () => shown.map((block) => (block.from + block.to) / 2), values: () => last ? shown.map((block) => block.name) : shown.map(() => ""),
      filter: (u, splits) => splits, grid: { show: false }, ticks: { show: false }, size: last ? 26 : 6, gap: 2,
    };
    if (last) Object.assign(x, { label: "block", labelSize: 20, labelFont: "12px " + css("--sans"), labelGap: 0 });
    mount(id, {
      height: last ? 260 : 130,
      scales: { x: { time: false, range: (u, from, to) => from == null || (from <= layout.xs[0] && to >= layout.xs[layout.xs.length - 1]) ? [0, layout.end] : [from, to] }, y: y.scale },
      axes: axes(x, y.axis), series,
      cursor: { y: false, sync: { key: "timeline", setSeries: false }, points: { size: 7 } },
      hooks: { drawClear: [ground], setCursor: [readTimeline] },
    }, table, width);
  }

  function fromZero(values, text) {
    const max = Math.max(0, ...values.filter((value) => value != null)) * 1.15 || 1;
    return {
      scale: { range: () => [0, max] },
      axis: { splits: () => linearTicks(0, max, 3), filter: (u, splits) => splits, values: (u, splits) => splits.map((value) => value ? value + text : "0") },
    };
  }

  draw = (width) => {
    for (const { plot } of plots) plot.destroy();
    plots = [];
    curves(width);
    timeline("chart-rate", [{ field: "rate", width: 1.5, alpha: 1 }], fromZero(data.trials.flatMap((trial) => trial.rate), "/s"), false, width);
    const errors = data.trials.flatMap((trial) => trial.err || []);
    if (errors.length) timeline("chart-errors", [{ field: "err", width: 1.5, alpha: 1 }], fromZero(errors, "/s"), false, width);
    else byId("chart-errors").textContent = "No error in any trial.";
    byId("chart-errors").classList.toggle("quiet", !errors.length);
    timeline("chart-latency", [{ field: "p95", width: 1, alpha: 0.7 }, { field: "p50", width: 2, alpha: 1 }],
      latencyScale(data.trials.flatMap((trial) => trial.p50.concat(trial.p95))), true, width);
  };

  for (const box of document.querySelectorAll("[data-legend]"))
    data.variants.forEach((variant, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.variant = index;
      button.setAttribute("aria-pressed", "true");
      button.append(keyOf(variant), variant.name);
      button.addEventListener("click", () => {
        if (!hidden.delete(index)) hidden.add(index);
        for (const other of document.querySelectorAll('[data-legend] button[data-variant="' + index + '"]'))
          other.setAttribute("aria-pressed", String(!hidden.has(index)));
        for (const { plot } of plots)
          plot.series.forEach((series, number) => { if (number && series.variant === index) plot.setSeries(number, { show: !hidden.has(index) }); });
      });
      box.append(button);
    });

  draw();
  root.classList.add("charted");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
  let width = root.clientWidth, waiting = 0;
  window.addEventListener("resize", () => {
    if (root.clientWidth === width || root.classList.contains("printing")) return;
    width = root.clientWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => draw());
  });
})();
