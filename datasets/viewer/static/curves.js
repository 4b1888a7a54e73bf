// Joints and commands over time, with the shown step as a line that follows and can be set.

import { el } from "./dom.js";
import uPlot from "./vendor/uPlot.esm.js";

const COLOURS = ["#3b7dd8", "#e07b39", "#2f9e6e", "#c94f7c", "#8a63d2", "#b8912b",
  "#2aa3b5", "#d0504a", "#6b8e23", "#9b6b4e"];
const SHOWN_AT_FIRST = 8; // curves; more would hide each other
const HEIGHT = 240; // px, as in episode.css

export class Curves {
  constructor(place, onSeek) {
    this.tabs = place.querySelector(".tabs");
    this.legend = place.querySelector(".legend");
    this.plot = place.querySelector(".plot");
    this.onSeek = onSeek;
    this.tab = 0;
    this.hidden = new Set(); // names of curves that were switched off
    this.bands = [];
    this.step = 0;
    const redraw = () => this.pages && this.build();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new ResizeObserver(() => this.chart?.setSize(this.size())).observe(this.plot);
  }

  // pages: [{name, unit, curves: [{name, solid: values, dashed: values or null}]}]
  show(pages, fps, length) {
    this.pages = pages;
    this.fps = fps;
    this.length = length;
    this.tab = Math.min(this.tab, pages.length - 1);
    this.tabs.replaceChildren(...pages.map((page, i) => el("button", {
      role: "tab", "aria-selected": String(i === this.tab), text: page.name,
      on: { click: () => this.turn(i) },
    }, " ", el("kbd", { text: String(i + 1) }))));
    this.build();
  }

  clear() {
    this.chart?.destroy();
    this.chart = this.pages = null;
    this.tabs.replaceChildren();
    this.legend.replaceChildren();
  }

  turn(tab) {
    if (!this.pages || tab >= this.pages.length) return;
    this.tab = tab;
    [...this.tabs.children].forEach((button, i) =>
      button.setAttribute("aria-selected", String(i === tab)));
    this.build();
  }

  size() {
    return { width: Math.max(this.plot.clientWidth, 200), height: HEIGHT };
  }

  build() {
    const page = this.pages[this.tab];
    this.chart?.destroy();
    const style = getComputedStyle(document.documentElement);
    const quiet = style.getPropertyValue("--quiet");
    const line = style.getPropertyValue("--line");
    const series = [{}];
    const data = [Float64Array.from({ length: this.length }, (_, i) => i / this.fps)];
    page.curves.forEach((curve, i) => {
      const show = this.isShown(curve, i);
      const stroke = COLOURS[i % COLOURS.length];
      series.push({ label: curve.name, stroke, width: 1.5, show, points: { show: false } });
      data.push(curve.solid);
      if (curve.dashed) {
        series.push({ label: curve.name, stroke, width: 1, dash: [5, 4], show, points: { show: false } });
        data.push(curve.dashed);
      }
    });
    const axis = { stroke: quiet, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
    this.chart = new uPlot({
      ...this.size(), series, legend: { show: false },
      scales: { x: { time: false } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map((t) => `${+t.toFixed(3)} s`) },
        { ...axis, size: 62, label: page.unit, labelSize: 16 }],
      cursor: { drag: { x: true, y: false }, points: { show: false }, y: false,
        bind: { dblclick: () => () => this.zoom(0) } },
      hooks: { drawClear: [(chart) => this.drawBands(chart)],
        setCursor: [(chart) => this.setValues(chart.cursor.idx ?? this.step)],
        setScale: [() => this.moveLine()], setSize: [() => this.moveLine()] },
    }, data, this.plot);
    this.line = el("div", { className: "playhead" });
    this.chart.over.append(this.line);
    this.chart.over.addEventListener("click", (event) => this.click(event));
    this.drawLegend(page);
    this.setStep(this.step);
  }

  click(event) {
    const { left, width } = this.chart.over.getBoundingClientRect();
    if (this.chart.select.width > 2 || width === 0) return; // the end of a zoom
    const time = this.chart.posToVal(event.clientX - left, "x");
    this.onSeek(Math.round(time * this.fps));
  }

  isShown(curve, i) {
    return this.hidden.has(curve.name) ? false : this.hidden.has(`+${curve.name}`) || i < SHOWN_AT_FIRST;
  }

  drawLegend(page) {
    this.values = [];
    this.legend.replaceChildren(...page.curves.map((curve, i) => {
      const value = el("span", { className: "value" });
      this.values.push(value);
      const dot = el("span", { className: "swatch" });
      dot.style.background = COLOURS[i % COLOURS.length];
      return el("button", {
        "aria-pressed": String(this.isShown(curve, i)),
        title: curve.dashed ? "solid: reading, dashed: command" : "",
        on: { click: (event) => this.switch(curve, i, event.currentTarget) },
      }, dot, el("span", { text: curve.name, dir: "auto" }), value);
    }));
  }

  switch(curve, i, button) {
    const show = !this.isShown(curve, i);
    this.hidden.delete(show ? curve.name : `+${curve.name}`);
    this.hidden.add(show ? `+${curve.name}` : curve.name);
    button.setAttribute("aria-pressed", String(show));
    this.chart.series.forEach((series, s) => {
      if (s && series.label === curve.name) this.chart.setSeries(s, { show });
    });
  }

  setStep(step) {
    this.step = step;
    if (!this.chart) return;
    const { min, max } = this.chart.scales.x;
    const time = step / this.fps;
    if (min !== undefined && (time < min || time > max)) {
      const width = max - min;
      this.chart.setScale("x", { min: time - 0.1 * width, max: time + 0.9 * width });
    }
    this.moveLine();
    this.setValues(step);
  }

  moveLine() {
    if (!this.line) return;
    this.line.style.left = `${this.chart.valToPos(this.step / this.fps, "x")}px`;
  }

  setValues(step) {
    const page = this.pages?.[this.tab];
    page?.curves.forEach((curve, i) => {
      const shown = [curve.solid[step], curve.dashed?.[step]].filter((v) => v !== undefined && v !== null);
      this.values[i].textContent = shown.map((v) => v.toFixed(page.digits)).join(" → ");
    });
  }

  // factor 0 shows the whole episode again.
  zoom(factor) {
    if (!this.chart) return;
    const whole = Math.max(this.length - 1, 1) / this.fps;
    if (!factor) return this.chart.setScale("x", { min: 0, max: whole });
    const { min, max } = this.chart.scales.x;
    const width = Math.min(Math.max((max - min) / factor, 4 / this.fps), whole);
    const at = this.step / this.fps;
    const low = Math.min(Math.max(at - width / 2, 0), whole - width);
    this.chart.setScale("x", { min: low, max: low + width });
  }

  // bands: [{first, last, kind}] in steps, last one included
  setBands(bands) {
    this.bands = bands;
    this.chart?.redraw(false);
  }

  drawBands(chart) {
    const style = getComputedStyle(document.documentElement);
    const { ctx, bbox } = chart;
    for (const { first, last, kind } of this.bands) {
      const left = chart.valToPos((first - 0.5) / this.fps, "x", true);
      const right = chart.valToPos((last + 0.5) / this.fps, "x", true);
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      ctx.fillStyle = style.getPropertyValue(`--band-${kind}`);
      ctx.fillRect(left, bbox.top, Math.max(right - left, 2 * devicePixelRatio), bbox.height);
      ctx.restore();
    }
  }
}
