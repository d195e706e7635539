// The play bar. While it plays or is dragged only the browser works; where it comes to rest, the page is told once.

const SPEEDS = [0.5, 1, 2, 4];
const WHOLE = [5000, 16000];  // milliseconds that a run takes at speed 1: 110 a checkpoint, within these
const SETTLED = 300;          // milliseconds after a key before the page is told
const PATIENCE = 3000;        // milliseconds that a page has to catch up with what it was told
const bars = new WeakMap();
let chosenSpeed = 1;          // it outlasts a change of page

export default function ({ data, parentElement, setTriggerValue }) {
  if (!bars.has(parentElement)) bars.set(parentElement, new Bar(parentElement));
  const bar = bars.get(parentElement);
  bar.tell = (step) => setTriggerValue("moved", step);
  bar.update(data);
  return () => { bar.stop(); bar.settle(); bars.delete(parentElement); };
}

class Bar {
  constructor(root) {
    const find = (name) => root.querySelector(`.${name}`);
    Object.assign(this, { whole: find("bar"), button: find("play"), range: find("range"), label: find("step"),
      count: find("count"), sketch: find("sketch"), curve: find("curve"), pace: find("speed"),
      at: 0, playing: false, held: false, pending: null, timer: 0 });
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.setSpeed(chosenSpeed);
    this.button.onclick = () => (this.playing ? this.pause() : this.play());
    this.pace.onclick = () => this.setSpeed(SPEEDS[(SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length]);
    this.range.onpointerdown = () => { this.held = true; };
    this.range.onpointerup = this.range.onpointercancel = () => setTimeout(() => { this.held = false; });
    this.range.oninput = () => this.seek(Number(this.range.value));
    this.range.onchange = () => { this.rest(this.held ? 0 : SETTLED); };
    this.whole.onkeydown = (event) => this.key(event);
    this.button.disabled = this.range.disabled = false;
  }

  // What the page says. A step that was chosen here stays until the page has caught up with it.
  update(data) {
    const shown = this.steps?.[Math.round(this.at)], moving = this.playing || this.held || this.timer;
    const same = this.run === data.run;
    Object.assign(this, data, { told: data.step });
    if (!same && moving) this.stop();
    if (!same || data.step === this.pending) this.pending = null;
    const wanted = same && (moving || this.pending !== null) ? shown : data.step;
    if (this.steps[Math.round(this.at)] !== wanted) this.at = Math.max(this.steps.indexOf(wanted), 0);
    if (!moving) this.at = Math.round(this.at);
    this.range.max = this.steps.length - 1;
    this.label.style.minWidth = `${words(this.steps.at(-1)).length * 0.56}em`;
    this.label.textContent = "";  // so that the rest is drawn anew
    this.sketch.toggleAttribute("hidden", !this.spectra);
    this.draw();
    if (!(same && moving) && this.pending === null) this.settle();
  }

  play() {
    clearTimeout(this.timer);
    this.timer = 0;
    if (this.at >= this.steps.length - 1) this.at = 0;
    this.playing = true;
    this.last = performance.now();
    this.range.step = "any";
    this.turn("Pause");
    mark(true);
    this.frame = requestAnimationFrame((now) => this.tick(now));
  }

  tick(now) {
    const passed = Math.min(Math.max(now - this.last, 0), 100);
    const end = this.steps.length - 1;
    this.last = now;
    this.at = Math.min(this.at + (passed * this.speed * end) / Math.min(Math.max(110 * end, WHOLE[0]), WHOLE[1]), end);
    if (this.at >= end) return this.pause();
    this.frame = requestAnimationFrame((later) => this.tick(later));
    this.move(this.still.matches ? Math.floor(this.at) : this.at);
  }

  pause() {
    this.seek(Math.round(this.at));
    this.rest(0);
  }

  stop() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.timer = 0;
    this.playing = false;
    this.range.step = "1";
    this.turn("Play");
  }

  seek(at) {
    this.stop();
    this.at = Math.min(Math.max(Math.round(at), 0), this.steps.length - 1);
    mark(true);
    this.move(this.at);
  }

  // Come to rest: tell the page, unless it is there already.
  rest(delay) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = 0;
      const step = this.steps[Math.round(this.at)];
      if (step === this.pending) return;
      if (step === this.told && this.pending === null) return this.settle();
      this.pending = step;
      clearTimeout(this.patience);
      this.patience = setTimeout(() => { if (!this.playing && !this.held && !this.timer) this.settle(); }, PATIENCE);
      this.tell(step);
    }, delay);
  }

  // What is drawn is the page's own again.
  settle() {
    clearTimeout(this.patience);
    this.pending = null;
    clear();
    mark(false);
  }

  key(event) {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10,
      Home: -Infinity, End: Infinity }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (by) {
      event.preventDefault();
      this.seek(Math.round(this.at) + by);
      this.rest(SETTLED);
    } else if (event.key === " " && event.target === this.range) {
      event.preventDefault();
      this.button.click();
    }
  }

  move(at) {
    this.draw(at);
    show(this.steps, at, this.scale);
  }

  draw(at = this.at) {
    const nearest = Math.round(at), text = words(this.steps[nearest]);
    this.range.value = at;
    this.range.style.setProperty("--at", at / (this.steps.length - 1));
    if (this.label.textContent === text) return;
    this.label.textContent = text;
    this.count.textContent = `${nearest + 1} of ${this.steps.length}`;
    this.range.setAttribute("aria-valuetext", text);
    const values = this.spectra?.[nearest] ?? [], width = 100 / Math.max(values.length - 1, 1);
    this.curve.setAttribute("points", values.map((value, rank) => `${rank * width},${100 - 100 * value}`).join(" "));
  }

  turn(word) {
    this.button.setAttribute("aria-label", word);
    this.button.title = word;
    this.whole.classList.toggle("playing", this.playing);
  }

  setSpeed(speed) {
    this.speed = chosenSpeed = speed;
    this.pace.textContent = `${this.speed}×`;
    this.pace.setAttribute("aria-label", `Speed ${this.speed}×`);
  }
}

// What the page draws of its own step, such as the tiles, steps back while the bar shows another.
function mark(moving) {
  document.querySelector('[data-testid="stMain"]')?.toggleAttribute("data-film", moving);
}
