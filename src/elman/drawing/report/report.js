"use strict";
(() => {
  const reports = JSON.parse(document.getElementById("data").textContent);

  // ---------------------------------------------------------------- elements and numbers

  /** Make an element. Children are elements or text, which is never parsed as HTML. */
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };

  const shape = (tag, attributes, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  /** Decode an array (rows, columns) on first use; see arrays.py. */
  const unpack = (packed) => {
    if (packed.values) return packed;
    const text = atob(packed.data), bytes = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
    packed.values = packed.type === "f4" ? new Float32Array(bytes.buffer) : new Int8Array(bytes.buffer);
    packed.data = "";
    let largest = 0;
    for (const value of packed.values) largest = Math.max(largest, Math.abs(value));
    packed.largest = largest * packed.scale || 1;
    // The end of the colour scale: the 99th percentile, so that a few large values, as in an LSTM's cell, do not leave all others pale.
    const some = packed.values.filter((_, place) => place % Math.ceil(packed.values.length / 5000) === 0).map(Math.abs).sort();
    packed.usual = Math.max(some[Math.floor(0.99 * (some.length - 1))] * packed.scale, packed.largest / 10) || 1;
    return packed;
  };
  const at = (packed, row, column) => packed.values[row * packed.columns + column] * packed.scale;

  const digits = (value, places = 2) =>
    value === null || value === undefined ? "–" : (Math.abs(value) < 10 ** -places / 2 ? 0 : value).toFixed(places).replace("-", "−");
  const short = (value) =>
    value === null || value === undefined ? "–"
      : Math.abs(value) >= 0.01 || value === 0 ? Number(value.toPrecision(3)).toString() : value.toExponential(1);
  const percent = (share) => (share >= 0.0995 ? (100 * share).toFixed(0) : (100 * share).toFixed(1)) + " %";
  const visible = (token) => token.replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/ /g, "␣") || "∅";
  const shorten = (text, most) => ([...text].length > most ? [...text].slice(0, most - 1).join("") + "…" : text);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const partName = (part) => ({ hidden: "state h", cell: "cell c" })[part] || part.replace("gate ", "") + (isGate(part) ? " gate" : "");
  const isGate = (part) => part.startsWith("gate ") && part !== "gate candidate";

  // ---------------------------------------------------------------- colours, read from the style sheet

  let palette;
  const readPalette = () => {
    const style = getComputedStyle(document.documentElement);
    const rgb = (name) => {
      const text = style.getPropertyValue(name).trim().slice(1);
      return [0, 2, 4].map((start) => parseInt(text.slice(start, start + 2), 16));
    };
    const names = ["low", "mid", "high", "paper", "ink", "soft", "grid", "line", "u", "w", "v", "text-low", "text-high"];
    palette = Object.fromEntries(names.map((name) => [name, rgb("--" + name)]));
  };
  const mix = (from, to, share) => from.map((value, place) => Math.round(value + (to[place] - value) * share));
  const css = (colour) => `rgb(${colour.join(",")})`;
  /** The value is in [-1, 1], or in [0, 1] for a gate. */
  const heatColour = (value) => mix(palette.mid, value < 0 ? palette.low : palette.high, Math.abs(value) ** 0.8);
  const textColour = (value) => mix(palette.paper, value < 0 ? palette["text-low"] : palette["text-high"], Math.min(1, Math.abs(value)));

  // ---------------------------------------------------------------- the state of a model, shared by its pictures

  class Model {
    constructor(report) {
      Object.assign(this, report);
      this.listeners = [];
      const stack = Math.max(this.stacks.length - 1, 0);
      this.chosen = { stack, layer: 0, part: "hidden", unit: 0, order: "time", step: 0, curve: 0, target: 0, attribution: 0 };
      if (this.stacks.length) {
        const length = this.stack.tokens.length;
        this.chosen.step = Math.min(length - 1, Math.floor(length / 2));
        this.chosen.unit = this.layer.order[this.layer.order.length - 1];
      }
      if (this.firstUnit && this.stacks.length) Object.assign(this.chosen, this.find(...this.firstUnit));
      if (this.gradients) this.chosen.target = this.gradients.targets.length - 1;
    }
    /** Find a unit of the last stack; without the unit if it was left out of the report. */
    find(layer, reverse, part, unit) {
      const stack = this.stacks.length - 1, layers = this.stacks[stack].layers;
      const place = Math.max(layers.findIndex((one) => one.layer === layer && one.reverse === reverse), 0);
      const shown = layers[place].units.indexOf(unit);
      return { stack, layer: place, part: part in layers[place].parts ? part : "gate " + part, ...(shown < 0 ? {} : { unit: shown }) };
    }
    get stack() { return this.stacks[this.chosen.stack]; }
    get layer() { return this.stack.layers[this.chosen.layer]; }
    get part() { return unpack(this.layer.parts[this.chosen.part]); }
    get isLast() { return this.chosen.stack === this.stacks.length - 1; }
    choose(changes) {
      Object.assign(this.chosen, changes);
      const { chosen } = this;
      chosen.layer = clamp(chosen.layer, 0, this.stack.layers.length - 1);
      if (!(chosen.part in this.layer.parts)) chosen.part = "hidden";
      chosen.unit = clamp(chosen.unit, 0, this.layer.units.length - 1);
      chosen.step = clamp(chosen.step, 0, this.stack.tokens.length - 1);
      for (const listener of this.listeners) listener(changes);
    }
    listen(listener) { this.listeners.push(listener); }
    row(step) { return !this.outputs || !this.isLast ? -1 : this.outputs.pooled ? 0 : this.outputs.steps.indexOf(step); }
  }

  // ---------------------------------------------------------------- controls

  const selection = (label, options, change) => {
    const select = make("select", { onchange: () => change(Number(select.value)) });
    const fill = (names, chosen) => {
      select.replaceChildren(...names.map((name, place) => make("option", { value: place }, name)));
      select.value = String(chosen);
    };
    fill(options, 0);
    return { element: make("label", {}, label, select), select, fill };
  };

  /** A control for the stack and layer, if there are several. */
  const layerControl = (model) => {
    const places = model.stacks.flatMap((stack, s) => stack.layers.map((layer, l) => [s, l, (model.stacks.length > 1 ? stack.name + ", " : "") + layer.name]));
    const control = selection("layer", places.map((place) => place[2]), (choice) => model.choose({ stack: places[choice][0], layer: places[choice][1] }));
    const update = () => {
      control.select.value = String(places.findIndex(([s, l]) => s === model.chosen.stack && l === model.chosen.layer));
    };
    update();
    model.listen(update);
    return places.length > 1 ? control.element : null;
  };

  const partControl = (model) => {
    const control = selection("value", [], (choice) => model.choose({ part: Object.keys(model.layer.parts)[choice] }));
    const update = () => {
      const parts = Object.keys(model.layer.parts);
      control.fill(parts.map(partName), parts.indexOf(model.chosen.part));
    };
    update();
    model.listen((changes) => { if ("layer" in changes || "part" in changes || "stack" in changes) update(); });
    return control.element;
  };

  const unitControl = (model) => {
    const input = make("input", { type: "number", min: 0, onchange: () => {
      const wanted = Number(input.value), units = model.layer.units;
      let nearest = 0;
      units.forEach((unit, place) => { if (Math.abs(unit - wanted) < Math.abs(units[nearest] - wanted)) nearest = place; });
      model.choose({ unit: nearest });
    } });
    const update = () => {
      input.max = model.layer.size - 1;
      input.value = model.layer.units[model.chosen.unit];
    };
    update();
    model.listen(update);
    return make("label", {}, "unit", input);
  };

  const stepControl = (model) => {
    const slider = make("input", { type: "range", min: 0, step: 1, "aria-label": "Time step", oninput: () => model.choose({ step: Number(slider.value) }) });
    const count = make("output", { class: "count" });
    const button = (label, words, change) => make("button", { type: "button", "aria-label": words, onclick: () => model.choose({ step: model.chosen.step + change }) }, label);
    const back = button("←", "One step back", -1), ahead = button("→", "One step forward", 1);
    const update = () => {
      const length = model.stack.tokens.length, { step } = model.chosen;
      slider.max = length - 1;
      slider.value = step;
      slider.setAttribute("aria-valuetext", `step ${step + 1} of ${length}: ${visible(model.stack.tokens[step])}`);
      count.textContent = `step ${(step + 1).toLocaleString("en")} of ${length.toLocaleString("en")}`;
      back.disabled = step === 0;
      ahead.disabled = step === length - 1;
    };
    update();
    model.listen(update);
    return [make("label", { class: "wide" }, back, slider, ahead), count];
  };

  // ---------------------------------------------------------------- parts of pictures

  /** The value of a unit after a step; its initial value before the first step. */
  const valueAt = (layer, part, row, unit) => {
    const packed = unpack(layer.parts[part]);
    return row < 0 || row >= packed.rows ? (layer.start[part] ? layer.start[part][unit] : 0) : at(packed, row, unit);
  };

  /** Tokens as running text: spaces between words, none between characters. */
  const writeTokens = (tokens, first, last, decorate, isOneLine = false) => {
    const joined = tokens.every((token) => [...token].length <= 1 || /^<.*>$/.test(token)) || tokens.some((token) => /\s/.test(token) && token.length > 1);
    const pieces = [];
    for (let place = first; place < last; place++) {
      const token = tokens[place];
      const span = make("span", { "data-step": place }, token === "\n" ? "↵" : token === "" ? "∅" : token);
      if (token === "\n") span.classList.add("break");
      decorate(span, place);
      pieces.push(span);
      if (token === "\n") pieces.push(isOneLine ? "" : "\n");
      else if (!joined) pieces.push(" ");
    }
    return pieces;
  };

  const prepare = (canvas) => {
    const ratio = Math.min(window.devicePixelRatio || 1, 2), width = canvas.clientWidth || 300, height = canvas.clientHeight || 40;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    return [context, width, height];
  };

  /** Draw a bar for each unit: up or down from the middle, or up from the bottom for a gate. */
  const drawBars = (canvas, values, largest, gate, colour) => {
    const [context, width, height] = prepare(canvas);
    const each = width / values.length, zero = gate ? height - 1 : height / 2;
    context.fillStyle = css(palette.line);
    context.fillRect(0, zero - 0.5, width, 1);
    if (gate) context.fillRect(0, 0, width, 0.5);
    context.fillStyle = css(colour);
    const thickness = Math.max(each - (each > 4 ? 1.5 : each > 2 ? 0.5 : 0), Math.min(each, 0.8));
    values.forEach((value, place) => {
      const size = (value / largest) * (gate ? height - 1 : height / 2 - 1);
      context.fillRect(place * each, size > 0 ? zero - size : zero, thickness, Math.abs(size));
    });
  };

  const bar = (name, share, value, kind = "", rowKind = "") => {
    const fill = make("i");
    fill.style.width = clamp(100 * share, 0, 100) + "%";
    return make("div", { class: "row " + rowKind }, make("span", { class: "name" + (kind ? " sum" : " token"), title: name }, name), make("div", { class: "bar " + kind }, fill), make("span", { class: "value" }, value));
  };

  const fillTable = (element, head, rows) => {
    const number = (cell) => typeof cell === "number";
    element.replaceChildren(make("table", {},
      make("thead", {}, make("tr", {}, ...head.map((cell) => make("th", { scope: "col" }, cell)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell, place) =>
        place ? make("td", number(cell) ? { class: "number" } : {}, number(cell) ? short(cell) : cell ?? "–") : make("th", { scope: "row" }, String(cell))))))));
  };

  // ---------------------------------------------------------------- step by step

  /** Format variables and matrices: in "W x_t", W has its colour. */
  const symbols = (words) => make("span", { class: "sum" }, ...words.split(/([WUV]\b|_[^ ]+)/).map((part) =>
    part.startsWith("_") ? make("sub", {}, part.slice(1)) : /^[WUV]$/.test(part) ? make("b", { class: part.toLowerCase() }, part) : part));

  const views = {}, tables = {};

  views.steps = (element, model) => {
    const ribbon = make("p", { class: "tokens window", "aria-hidden": "true" });
    ribbon.addEventListener("click", (event) => { if (event.target.dataset.step) model.choose({ step: Number(event.target.dataset.step) }); });
    const reads = make("div", { class: "panel" }), inside = make("div", { class: "panel" }), says = make("div", { class: "panel says" });
    const worked = make("div");
    const read = make("output", { class: "readout", "aria-live": "polite" });
    const layer = layerControl(model);
    element.append(make("div", { class: "controls" }, ...stepControl(model), layer), ribbon, make("div", { class: "panels" }, reads, inside, says), worked, read);

    let strips = [], built = null;
    const buildStrips = () => {
      built = model.layer;
      const names = [["hidden", -1, "h", "t−1"], ...model.layer.gates.map((gate) => ["gate " + gate, 0, gate, ""])];
      if ("cell" in model.layer.parts) names.push(["cell", 0, "c", "t"]);
      names.push(["hidden", 0, "h", "t"]);
      strips = names.map(([part, shift, name, low]) => {
        const canvas = make("canvas", { class: part.startsWith("gate") ? "strip" : "strip tall", role: "img" });
        const value = make("span", { class: "value" });
        const label = make("span", { class: low ? "name sum" : "name" }, name, low ? make("sub", {}, low) : "");
        return { part, shift, canvas, value, row: make("div", { class: "row" }, label, canvas, value) };
      });
      const { gates, units, size } = model.layer, past = gates.length === 2 ? "" : " + U h_t−1";
      inside.replaceChildren(make("h3", {}, symbols(`W x_t${past} + b → ${gates.length ? "gates" : "g"} → h_t`),
        ` · ${units.length === size ? "" : units.length + " of "}${size} units`), ...strips.map((strip) => strip.row));
    };

    const draw = () => {
      const { step } = model.chosen, { tokens } = model.stack, current = model.layer;
      const longest = Math.max(...tokens.slice(Math.max(step - 20, 0), step + 20).map((token) => token.length));
      const wide = Math.max(7, Math.floor(((element.clientWidth || 600) - 60) / (8.3 * (longest > 2 ? 7 : 1))));
      const first = clamp(step - Math.floor(wide / 2), 0, Math.max(tokens.length - wide, 0)), last = Math.min(first + wide, tokens.length);
      ribbon.replaceChildren(first > 0 ? "… " : "", ...writeTokens(tokens, first, last, (span, place) => {
        span.classList.add(place === step ? "now" : place < step ? "past" : "ahead");
      }, true), last < tokens.length ? " …" : "");

      const sizes = current.sizes && current.sizes[step];
      const most = current.sizes ? Math.max(...current.sizes.flat()) || 1 : 1;
      reads.replaceChildren(make("h3", {}, "reads ", symbols("x_t")), make("p", { class: "big" }, visible(tokens[step])),
        ...(sizes ? [bar("W x", sizes[0] / most, digits(sizes[0]), "w"), bar("U h", sizes[1] / most, digits(sizes[1]), "u"),
          make("p", { class: "readout" }, sizes[1] ? `Norms of the two vectors that are added. The input makes up ${percent(sizes[0] / (sizes[0] + sizes[1]))} of their total, the previous state the rest.` : "The norm of this vector. The previous state is not added.")] : []));

      if (built !== current) buildStrips();
      const before = current.reverse ? step + 1 : step - 1;
      for (const strip of strips) {
        const packed = unpack(current.parts[strip.part]), row = strip.shift ? before : step;
        const gate = isGate(strip.part);
        const values = current.order.map((unit) => valueAt(current, strip.part, row, unit));
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
        const size = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
        strip.value.textContent = gate ? `mean ${digits(mean)}` : `± ${digits(size)}`;
        strip.canvas.setAttribute("aria-label", `${partName(strip.part)}${strip.shift ? " before" : ""}: mean ${digits(mean)}, root mean square ${digits(size)}`);
        drawBars(strip.canvas, values, gate ? 1 : packed.largest, gate, gate ? palette.soft : strip.part === "cell" ? palette.w : palette.u);
      }

      const row = model.row(step), outputs = model.outputs;
      const title = make("span", {}, symbols(outputs && outputs.pooled ? "V h + b → softmax" : "V h_t + b → softmax"), outputs && outputs.pooled ? " · after all steps" : "");
      if (row < 0) says.replaceChildren(make("h3", {}, title), make("p", { class: "readout" }, outputs ? "This step has no output." : ""));
      else {
        const target = outputs.targets[row], shares = outputs.probabilities[row];
        const bars = outputs.names[row].map((name, place) => bar(visible(name), shares[place], percent(shares[place]), "", name === target ? "target" : ""));
        if (target !== null && !outputs.names[row].includes(target) && outputs.targetProbabilities[row] !== null)
          bars.push(bar(visible(target), outputs.targetProbabilities[row], percent(outputs.targetProbabilities[row]), "", "target"));
        const loss = outputs.losses[row];
        says.replaceChildren(make("h3", {}, title), ...bars, make("p", { class: "readout" },
          loss === null ? "" : `Loss at this step: ${digits(loss)} nats (${digits(loss / Math.LN2)} bits).`));
      }
      worked.replaceChildren(...workedEquation(model, step));
      read.textContent = "";
    };
    return draw;
  };

  /** The equation of one unit of a small cell, with the values at this step. */
  const workedEquation = (model, step) => {
    const { terms, gates, units, parts, reverse } = model.layer;
    if (!terms) return [];
    const unit = units[model.chosen.unit], size = model.layer.size;
    const input = unpack(terms.input), hidden = unpack(terms.hidden);
    const names = gates.length ? gates : ["candidate"];
    const letters = { input: "i", forget: "f", candidate: names.length === 4 ? "g" : names.length === 1 ? "h" : "n", output: "o", reset: "r", update: "z" };
    const low = (text) => make("sub", {}, text), w = (text) => make("b", { class: "w" }, text), u = (text) => make("b", { class: "u" }, text);
    const plus = (number) => (number < 0 ? ` − ${digits(-number)}` : ` + ${digits(number)}`);
    const plusIn = (colour, number) => [number < 0 ? " − " : " + ", colour(digits(Math.abs(number)))];
    const value = (part, row) => valueAt(model.layer, part, row, model.chosen.unit);
    const before = reverse ? step + 1 : step - 1;
    const lines = names.map((gate, place) => {
      const column = place * size + unit;
      const x = at(input, step, column), h = at(hidden, step, column), bx = terms.biasInput[column], bh = terms.biasHidden[column];
      const result = parts["gate " + gate] ? value("gate " + gate, step) : value("hidden", step);
      const isCandidate = gate === "candidate", isSplit = isCandidate && names.length === 3;
      const plain = isCandidate && names.length === 2;
      const inner = isSplit ? [w(digits(x)), plus(bx), " + r · ( ", u(digits(h)), plus(bh), " )"]
        : names.length === 2 ? [w(digits(x)), plus(bx)] : [w(digits(x)), ...plusIn(u, h), plus(bx + bh)];
      return make("li", {}, letters[gate] || gate, low("t"), plain ? " = " : isCandidate ? " = tanh( " : " = σ( ", ...inner, plain ? "" : " )", ` = ${digits(result, 3)}`);
    });
    const gate = (name) => value("gate " + name, step);
    if ("cell" in parts) lines.push(
      make("li", {}, "c", low("t"), ` = f · c`, low("t−1"), ` + i · g = ${digits(gate("forget"))} · (${digits(value("cell", before))}) + ${digits(gate("input"))} · (${digits(gate("candidate"))}) = ${digits(value("cell", step), 3)}`),
      make("li", {}, "h", low("t"), ` = o · tanh( c`, low("t"), ` ) = ${digits(gate("output"))} · tanh( ${digits(value("cell", step))} ) = ${digits(value("hidden", step), 3)}`));
    else if ("gate update" in parts) {
      const z = gate("update"), n = gate("candidate"), past = value("hidden", before);
      const [kept, made] = names.length === 2 ? [1 - z, z] : [z, 1 - z];
      lines.push(make("li", {}, "h", low("t"), ` = ${digits(made)} · n + ${digits(kept)} · h`, low("t−1"), ` = ${digits(made)} · (${digits(n)}) + ${digits(kept)} · (${digits(past)}) = ${digits(value("hidden", step), 3)}`));
    }
    return [make("h3", { class: "figcaption" }, `The equation of unit ${unit} with the values at this step`),
      make("div", { class: "controls" }, unitControl(model)),
      make("ul", { class: "worked" }, ...lines),
      make("p", { class: "readout" }, "Terms, in order: ", w("W x"), ...(names.length === 2 ? [] : [", ", u("U h")]), ", b.")];
  };

  tables.steps = (element, model) => {
    const { step } = model.chosen, { layer } = model, parts = Object.keys(layer.parts);
    fillTable(element, ["Unit", ...parts.map(partName)], layer.units.map((unit, place) => [unit, ...parts.map((part) => at(unpack(layer.parts[part]), step, place))]));
  };

  // ---------------------------------------------------------------- attention

  views.attention = (element, model) => {
    const weights = unpack(model.attention), places = model.places, source = places.regions ? null : model.stacks[0].tokens;
    const writes = model.stacks[model.stacks.length - 1];
    const slider = make("input", { type: "range", min: 0, max: weights.rows - 1, "aria-label": "Output", oninput: () => model.choose({ stack: model.stacks.length - 1, step: Number(slider.value) }) });
    const count = make("output", { class: "count" }), body = make("div"), all = make("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Attention of all outputs" });
    element.append(make("div", { class: "controls" }, make("label", { class: "wide" }, "output", slider), count), body, source ? all : "");
    const name = (row) => visible(model.outputs.names[row][0]);
    let row = 0;
    return (isNew) => {
      if (model.isLast) row = clamp(model.chosen.step, 0, weights.rows - 1);
      slider.value = row;
      count.textContent = `${row + 1} of ${weights.rows}: ${name(row)}`;
      slider.setAttribute("aria-valuetext", `output ${row + 1}: ${name(row)}`);
      const shares = Array.from({ length: weights.columns }, (_, place) => at(weights, row, place)), most = Math.max(...shares) || 1;
      if (!source) {
        body.replaceChildren(regionGrid(places.regions, shares.map((share) => share / most), (place) => percent(shares[place])));
        return;
      }
      body.replaceChildren(make("p", { class: "tokens" }, ...writeTokens(source, 0, weights.columns, (span, place) => {
        span.style.backgroundColor = css(textColour(shares[place] / most));
        span.title = percent(shares[place]);
      })));
      if (isNew) all.replaceChildren(make("table", { class: "matrix" },
        make("thead", {}, make("tr", {}, make("td"), ...source.slice(0, weights.columns).map((token) => make("th", { scope: "col" }, make("span", {}, visible(token)))))),
        make("tbody", {}, ...Array.from({ length: weights.rows }, (_, y) => make("tr", {}, make("th", { scope: "row" }, name(y)), ...shares.map((_, x) => {
          const share = at(weights, y, x), cell = make("td", { title: `${name(y)} attends to ${visible(source[x])}: ${percent(share)}` });
          cell.style.backgroundColor = css(heatColour(clamp(share, 0, 1)));
          return cell;
        }))))));
      all.querySelectorAll("tbody tr").forEach((line, place) => line.classList.toggle("now", place === row));
    };
  };

  /** The regions of a picture as squares; values are in [-1, 1]. */
  const regionGrid = ([rows, columns], values, title) => {
    const grid = make("div", { class: "regions", role: "img", "aria-label": `Regions of the picture, ${rows} by ${columns}` });
    grid.style.gridTemplateColumns = `repeat(${columns}, 1fr)`;
    values.forEach((value, place) => {
      const cell = make("span", { title: `row ${Math.floor(place / columns) + 1}, column ${(place % columns) + 1}: ${title(place)}` });
      cell.style.backgroundColor = css(heatColour(value));
      grid.append(cell);
    });
    return grid;
  };

  tables.attention = (element, model) => {
    const weights = unpack(model.attention), columns = Array.from({ length: weights.columns }, (_, place) => place);
    const source = model.places.regions ? columns.map((place) => `region ${place + 1}`) : model.stacks[0].tokens.map(visible);
    fillTable(element, ["Output", ...source.slice(0, weights.columns)], Array.from({ length: weights.rows }, (_, row) => [visible(model.outputs.names[row][0]), ...columns.map((place) => at(weights, row, place))]));
  };

  // ---------------------------------------------------------------- all units over time

  views.heat = (element, model) => {
    const canvas = make("canvas");
    const upright = make("div", { class: "upright" }), level = make("div", { class: "level" });
    const plane = make("div", { class: "plane", tabindex: 0, role: "img" }, canvas, upright, level);
    const scale = make("div", { class: "scale", "aria-hidden": "true" }), ticks = make("div", { class: "ticks", "aria-hidden": "true" });
    const unitOfScale = make("div", { class: "ticks", "aria-hidden": "true" });
    const read = make("output", { class: "readout", "aria-live": "polite" }), ramp = make("span");
    const order = selection("order", ["by time scale", "by number"], (choice) => model.choose({ order: choice ? "number" : "time" }));
    element.append(make("div", { class: "controls" }, layerControl(model), partControl(model), order.element, unitControl(model)),
      make("div", { class: "heat" }, plane, scale, ticks, unitOfScale), make("div", { class: "below" }, read, ramp));

    const rows = () => (model.chosen.order === "time" ? model.layer.order : model.layer.units.map((_, place) => place));
    const paint = () => {
      const packed = model.part, gate = isGate(model.chosen.part), sorted = rows(), height = sorted.length, width = packed.rows;
      canvas.width = width;
      canvas.height = height;
      canvas.style.height = clamp(height, Math.min(height * 20, 240), 420) + "px";
      const context = canvas.getContext("2d"), image = context.createImageData(width, height);
      const pixels = new Uint32Array(image.data.buffer), colours = Uint32Array.from({ length: 511 }, (_, place) => {
        const [red, green, blue] = heatColour((place - 255) / 255);
        return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
      });
      for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
        const share = at(packed, x, sorted[y]) / (gate ? 1 : packed.usual);
        pixels[y * width + x] = colours[clamp(Math.round(share * 255), -255, 255) + 255];
      }
      context.putImageData(image, 0, 0);
      const every = [0, 0.25, 0.5, 0.75, 1].map((share) => Math.round(share * (height - 1)));
      scale.replaceChildren(...[...new Set(every)].map((y) => {
        const unit = sorted[y], mark = make("span", {}, model.chosen.order === "time" ? short(model.layer.scales[unit]) : String(model.layer.units[unit]));
        mark.style.top = (100 * (y + 0.5)) / height + "%";
        return mark;
      }));
      unitOfScale.textContent = model.chosen.order === "time" ? "steps" : "unit";
      const marks = [0, 0.25, 0.5, 0.75, 1].map((share) => Math.round(share * (width - 1)) + 1);
      ticks.replaceChildren(...[...new Set(marks)].map((step, place) => make("span", {}, (place ? "" : "step ") + step)));
      ramp.replaceChildren(make("span", { class: gate ? "ramp gate" : "ramp" }, gate ? "0" : digits(-packed.usual), make("i"), gate ? "1" : digits(packed.usual)));
      plane.setAttribute("aria-label", `${partName(model.chosen.part)} of ${height} units at ${width} steps, ${model.layer.name}`);
    };
    const point = () => {
      const { step, unit } = model.chosen, sorted = rows(), row = sorted.indexOf(unit);
      upright.style.left = (100 * (step + 0.5)) / model.part.rows + "%";
      level.style.top = (100 * (row + 0.5)) / sorted.length + "%";
      read.textContent = `Unit ${model.layer.units[unit]}, step ${step + 1} (${visible(model.stack.tokens[step])}): ${digits(at(model.part, step, unit))}. Time scale ${short(model.layer.scales[unit])} steps.`;
    };
    const pick = (event) => {
      const box = canvas.getBoundingClientRect(), sorted = rows();
      const step = clamp(Math.floor(((event.clientX - box.left) / box.width) * model.part.rows), 0, model.part.rows - 1);
      const row = clamp(Math.floor(((event.clientY - box.top) / box.height) * sorted.length), 0, sorted.length - 1);
      model.choose({ step, unit: sorted[row] });
    };
    plane.addEventListener("pointerdown", (event) => { pick(event); plane.setPointerCapture(event.pointerId); });
    plane.addEventListener("pointermove", (event) => { if (event.buttons) pick(event); });
    plane.addEventListener("keydown", (event) => {
      const sorted = rows(), row = sorted.indexOf(model.chosen.unit), far = event.shiftKey ? 10 : 1;
      const moves = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far], Home: [-Infinity, 0], End: [Infinity, 0], PageUp: [0, -10], PageDown: [0, 10] };
      const move = moves[event.key];
      if (!move) return;
      event.preventDefault();
      model.choose({ step: model.chosen.step + move[0], unit: sorted[clamp(row + move[1], 0, sorted.length - 1)] });
    });
    model.listen((changes) => { order.select.value = model.chosen.order === "time" ? "0" : "1"; if ("layer" in changes || "stack" in changes || "part" in changes || "order" in changes) paint(); });
    let isPainted = null;
    return (isNew) => { if (isNew || !isPainted) paint(); isPainted = true; point(); };
  };

  tables.heat = (element, model) => {
    const packed = model.part, { layer } = model;
    fillTable(element, ["Unit", "time scale (steps)", "mean", "standard deviation", "minimum", "maximum"], layer.units.map((unit, place) => {
      const values = Array.from({ length: packed.rows }, (_, step) => at(packed, step, place));
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
      return [unit, layer.scales[place], mean, Math.sqrt(variance), Math.min(...values), Math.max(...values)];
    }));
  };

  // ---------------------------------------------------------------- the input, coloured

  views.text = (element, model) => {
    const text = make("p", { class: "tokens", tabindex: 0 }), ramp = make("span"), read = make("output", { class: "readout" });
    text.addEventListener("click", (event) => { if (event.target.dataset.step) model.choose({ step: Number(event.target.dataset.step) }); });
    const move = (change) => {
      const { order } = model.layer, place = order.indexOf(model.chosen.unit);
      model.choose({ unit: order[(place + change + order.length) % order.length] });
    };
    element.append(make("div", { class: "controls" }, layerControl(model), partControl(model), unitControl(model),
      make("button", { type: "button", onclick: () => move(-1) }, "faster unit"), make("button", { type: "button", onclick: () => move(1) }, "slower unit")),
      text, make("div", { class: "below" }, read, ramp));
    let spans = [], written = null;
    return () => {
      const { tokens } = model.stack, packed = model.part, { unit, step } = model.chosen, gate = isGate(model.chosen.part);
      if (written !== tokens) {
        text.replaceChildren(...writeTokens(tokens, 0, tokens.length, () => {}));
        spans = [...text.querySelectorAll("span")];
        written = tokens;
      }
      const values = spans.map((_, place) => at(packed, place, unit));
      const largest = gate ? 1 : Math.max(...values.map(Math.abs)) || 1;
      spans.forEach((span, place) => {
        span.style.backgroundColor = css(textColour(gate ? 2 * values[place] - 1 : values[place] / largest));
        span.classList.toggle("now", place === step);
      });
      text.setAttribute("aria-label", `The input, coloured by unit ${model.layer.units[unit]}`);
      read.textContent = `Unit ${model.layer.units[unit]}, ${partName(model.chosen.part)}: time scale ${short(model.layer.scales[unit])} steps.`;
      ramp.replaceChildren(make("span", { class: "ramp text" }, gate ? "0" : digits(-largest), make("i"), gate ? "1" : digits(largest)));
    };
  };

  tables.text = (element, model) =>
    fillTable(element, ["Step", "token", `unit ${model.layer.units[model.chosen.unit]}`], model.stack.tokens.map((token, step) => [step + 1, visible(token), at(model.part, step, model.chosen.unit)]));

  // ---------------------------------------------------------------- gradients back from one loss

  views.bptt = (element, model) => {
    const { gradients, outputs } = model;
    const curve = selection("state", gradients.curves.map((one) => one.name), (choice) => model.choose({ curve: choice }));
    const slider = make("input", { type: "range", min: 0, max: gradients.targets.length - 1, step: 1, "aria-label": "Step of the loss", oninput: () => model.choose({ target: Number(slider.value) }) });
    const count = make("output", { class: "count" });
    const losses = make("canvas", { class: "losses", role: "img" });
    const arrows = make("div", { class: "arrows", tabindex: 0, role: "group", "aria-label": "Gradients at the other states" });
    const read = make("output", { class: "readout", "aria-live": "polite" });
    const nameOf = (target) => (outputs && outputs.pooled ? "the output" : `step ${target + 1}`);
    const hasLosses = outputs && !outputs.pooled && outputs.losses.some((loss) => loss !== null);
    element.append(make("div", { class: "controls" }, gradients.curves.length > 1 ? curve.element : null,
      gradients.targets.length > 1 ? make("label", { class: "wide" }, "loss of", slider) : null, count), hasLosses ? losses : "", arrows, read);
    losses.addEventListener("click", (event) => {
      const box = losses.getBoundingClientRect(), row = Math.floor(((event.clientX - box.left) / box.width) * outputs.steps.length);
      const step = outputs.steps[clamp(row, 0, outputs.steps.length - 1)];
      let nearest = 0;
      gradients.targets.forEach((target, place) => { if (Math.abs(target - step) < Math.abs(gradients.targets[nearest] - step)) nearest = place; });
      model.choose({ target: nearest });
    });
    return () => {
      const target = gradients.targets[model.chosen.target], chosen = gradients.curves[model.chosen.curve];
      const stack = model.stacks.find((one) => one.name === chosen.stack) || model.stacks[model.stacks.length - 1];
      curve.select.value = model.chosen.curve;
      slider.value = model.chosen.target;
      slider.setAttribute("aria-valuetext", nameOf(target));
      count.textContent = nameOf(target);
      if (hasLosses) {
        const [context, width, height] = prepare(losses), each = width / outputs.steps.length, most = Math.max(...outputs.losses.map((loss) => loss ?? 0)) || 1;
        outputs.losses.forEach((loss, place) => {
          const step = outputs.steps[place];
          context.fillStyle = css(step === target ? palette.high : gradients.targets.includes(step) ? palette.soft : palette.line);
          const size = ((loss ?? 0) / most) * (height - 4);
          context.fillRect(place * each, height - size, Math.max(each - (each > 3 ? 1 : 0), 1), size);
        });
        losses.setAttribute("aria-label", `Loss at every step; ${digits(outputs.losses[outputs.steps.indexOf(target)])} nats at step ${target + 1}`);
      }
      drawArrows(arrows, stack, chosen, chosen.norms[model.chosen.target], chosen.origins[model.chosen.target], `loss of ${nameOf(target)}`);
      const known = chosen.norms[model.chosen.target].filter((norm) => norm !== null);
      const total = known.reduce((sum, norm) => sum + norm, 0) || 1;
      let sum = 0, half = known.findIndex((norm) => (sum += norm) >= total / 2) + 1;
      read.textContent = known.length ? `Loss of ${nameOf(target)}${hasLosses ? ` (${digits(outputs.losses[outputs.steps.indexOf(target)])} nats)` : ""}: |gradient| ${short(known[0])} one step ${chosen.reverse ? "ahead" : "back"}, ${short(known[known.length - 1])} after ${known.length}; half of the sum lies within ${half} ${half === 1 ? "step" : "steps"}.` : "";
    };
  };

  const drawArrows = (element, stack, curve, norms, target, name) => {
    const each = 46, sign = curve.reverse ? 1 : -1;
    const inside = norms.filter((norm, place) => norm !== null && stack.tokens[target + sign * (place + 1)] !== undefined).length;
    const room = Math.max(6, Math.floor(((element.clientWidth || 900) - 60) / each));
    const shown = Math.min(inside, room), width = (shown + 1) * each + 20, y = 60;
    const most = Math.max(...norms.filter((norm) => norm !== null), 1e-30);
    const place = (lag) => (curve.reverse ? 20 + lag * each : width - 20 - lag * each);
    const picture = shape("svg", { width, height: 130, viewBox: `0 0 ${width} 130`, role: "img", "aria-label": `Arrows from step ${target + 1} to ${shown} states` });
    for (let lag = 1; lag <= shown; lag++) {
      const share = norms[lag - 1] / most, thickness = Math.max(10 * share, 0.6);
      const start = place(lag - 1) + sign * 9, end = place(lag) - sign * 9, head = Math.min(4 + thickness, 9);
      picture.append(shape("path", { class: "back", d: `M${start} ${y}H${end - sign * head}`, "stroke-width": thickness, opacity: 0.35 + 0.65 * Math.sqrt(share) }),
        shape("polygon", { class: "back head", points: `${end},${y} ${end - sign * head},${y - 2 - thickness * 0.72} ${end - sign * head},${y + 2 + thickness * 0.72}`, opacity: 0.35 + 0.65 * Math.sqrt(share) }),
        shape("text", { class: "note", x: place(lag), y: y + 50, "text-anchor": "middle" }, share >= 0.0005 ? percent(share) : "≈ 0"));
    }
    for (let lag = 0; lag <= shown; lag++) {
      const token = stack.tokens[target + sign * lag] ?? "";
      picture.append(shape("circle", { class: lag ? "node" : "node now", cx: place(lag), cy: y, r: 8 }, shape("title", {}, `step ${target + sign * lag + 1}`)),
        shape("text", { class: "token", x: place(lag), y: y + 32, "text-anchor": "middle" }, shorten(visible(token), 6)));
    }
    picture.append(shape("text", { class: "note", x: place(0), y: 22, "text-anchor": curve.reverse ? "start" : "end" }, name),
      shape("path", { class: "edge", d: `M${place(0)} 28V48` }));
    element.replaceChildren(picture);
  };

  tables.bptt = (element, model) => {
    const { gradients } = model, curve = gradients.curves[model.chosen.curve], target = curve.origins[model.chosen.target], sign = curve.reverse ? 1 : -1;
    const stack = model.stacks.find((one) => one.name === curve.stack) || model.stacks[model.stacks.length - 1];
    fillTable(element, ["Lag", "token", "|gradient|"], curve.norms[model.chosen.target].map((norm, place) => [place + 1, visible(stack.tokens[target + sign * (place + 1)] ?? ""), norm]));
  };

  // ---------------------------------------------------------------- attribution

  views.attribution = (element, model) => {
    const control = selection("output", model.attributions.map((one) => `${one.target}, ${one.method}`), (choice) => model.choose({ attribution: choice }));
    const body = make("div"), read = make("output", { class: "readout" }), ramp = make("span");
    element.append(model.attributions.length > 1 ? make("div", { class: "controls" }, control.element) : make("p", { class: "remark" }, `${model.attributions[0].target}, ${model.attributions[0].method}`), body, make("div", { class: "below" }, read, ramp));
    return () => {
      const one = model.attributions[model.chosen.attribution], largest = Math.max(...one.scores.map(Math.abs)) || 1;
      control.select.value = model.chosen.attribution;
      if (one.regions) {
        body.replaceChildren(regionGrid(one.regions, one.scores.map((score) => score / largest), (place) => short(one.scores[place])));
      } else body.replaceChildren(make("p", { class: "tokens" }, ...writeTokens(one.tokens, 0, one.tokens.length, (span, place) => {
        span.style.backgroundColor = css(textColour(one.scores[place] / largest));
        span.title = short(one.scores[place]);
      })));
      const sum = one.scores.reduce((total, score) => total + score, 0);
      read.textContent = `Sum ${digits(sum, 3)}` + (one.completeness === null ? "." : `, within ${percent(one.completeness)} of the difference of outputs that it explains.`);
      ramp.replaceChildren(make("span", { class: "ramp text" }, digits(-largest), make("i"), digits(largest)));
    };
  };

  tables.attribution = (element, model) => {
    const one = model.attributions[model.chosen.attribution];
    fillTable(element, ["Input", "token", "contribution"], one.scores.map((score, place) => [place + 1, one.regions ? `region ${place + 1}` : visible(one.tokens[place] ?? ""), score]));
  };

  // ---------------------------------------------------------------- start

  readPalette();
  const models = reports.map((report) => new Model(report));
  const pictures = [];
  for (const element of document.querySelectorAll("[data-view]")) {
    const model = models[Number(element.dataset.model)];
    const picture = { element, draw: views[element.dataset.view](element, model), isNear: false, isStale: true, isNew: true };
    pictures.push(picture);
    model.listen(() => refresh(picture));
  }
  const refresh = (picture) => {
    picture.isStale = true;
    if (!picture.isNear || picture.isWaiting) return;
    picture.isWaiting = true;
    requestAnimationFrame(() => {
      picture.isWaiting = picture.isStale = false;
      picture.draw(picture.isNew);
      picture.isNew = false;
    });
  };
  const drawNow = (picture) => {
    picture.draw(true);
    picture.isNew = picture.isStale = false;
  };
  // All pictures are drawn once, one after the other. After that, a choice redraws at once only those near the window.
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const picture = pictures.find((one) => one.element === entry.target);
      picture.isNear = entry.isIntersecting;
      if (picture.isNear && picture.isStale) refresh(picture);
    }
  }, { rootMargin: "600px" });
  for (const picture of pictures) near.observe(picture.element);
  const drawRest = (place) => {
    if (place === pictures.length) return;
    if (pictures[place].isNew) drawNow(pictures[place]);
    setTimeout(drawRest, 0, place + 1);
  };
  drawRest(0);

  for (const element of document.querySelectorAll("[data-table]")) {
    const model = models[Number(element.dataset.model)], details = element.closest("details");
    const fill = () => { if (details.open) tables[element.dataset.table](element, model); };
    details.addEventListener("toggle", fill);
    model.listen(fill);
  }
  for (const button of document.querySelectorAll("[data-choose]")) button.addEventListener("click", () => {
    const model = models[Number(button.dataset.model)], [layer, reverse, part, unit] = button.dataset.choose.split(",");
    model.choose(model.find(Number(layer), reverse === "1", part, Number(unit)));
    document.getElementById("text").scrollIntoView();
  });

  // Models that read inputs of the same length move together.
  let isFollowing = false;
  models.forEach((model) => model.listen((changes) => {
    if (isFollowing || !("step" in changes)) return;
    isFollowing = true;
    for (const other of models) if (other !== model && other.stacks.length && other.stack.tokens.length === model.stack.tokens.length) other.choose({ step: model.chosen.step });
    isFollowing = false;
  }));

  const repaint = () => { readPalette(); pictures.forEach(drawNow); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  matchMedia("print").addEventListener("change", repaint);
  addEventListener("beforeprint", repaint);
  addEventListener("afterprint", repaint);
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => pictures.forEach((picture) => { picture.isNew = true; refresh(picture); }), 120); });

  // In the frame of a notebook, a link would leave the page.
  if (location.protocol === "about:") for (const link of document.querySelectorAll('a[href^="#"]')) link.addEventListener("click", (event) => {
    event.preventDefault();
    const target = document.getElementById(link.hash.slice(1));
    target.scrollIntoView();
    target.focus({ preventScroll: true });
  });

  // Mark the section at the top of the window in the navigation.
  const links = [...document.querySelectorAll("nav a")], parts = links.map((link) => document.getElementById(link.hash.slice(1)));
  const mark = () => {
    const current = parts.findLastIndex((part) => part.getBoundingClientRect().top < innerHeight / 3);
    links.forEach((link, place) => { if (place === current) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current"); });
  };
  addEventListener("scroll", mark, { passive: true });
  mark();
})();
