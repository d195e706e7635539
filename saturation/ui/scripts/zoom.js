// What was zoomed stays so when a figure is drawn anew for another step. Streamlit makes a new plot for every change and
// keeps plotly to itself; the new plot is given the ranges through its mode bar's zoom button, whose attribute is lent.
export default function () {
  const kept = (window.saturationZoom ??= new Map());  // by the figure's `uirevision`: what is drawn, but for the step
  const known = new WeakSet();

  const axes = plot => Object.keys(plot._fullLayout).filter(name => /^[xy]axis\d*$/.test(name));

  const note = plot => change => {
    const name = plot.layout?.uirevision;
    if (!name || plot.restoring) return;
    const touched = Object.keys(change).filter(key => /^[xy]axis\d*\.(range|autorange)/.test(key));
    if (!touched.length) return;
    if (touched.some(key => key.endsWith('autorange'))) kept.delete(name);
    else {
      const mine = { ...kept.get(name) };
      for (const key of touched) {
        const axis = key.split('.')[0];
        mine[axis] = [...plot._fullLayout[axis].range];
      }
      kept.set(name, mine);
    }
  };

  const restore = (plot, ranges) => {
    const button = plot.querySelector('.modebar-btn[data-attr="dragmode"][data-val="zoom"]');
    if (!button) return;
    const set = (attribute, value) => {
      button.setAttribute('data-attr', attribute);
      button.setAttribute('data-val', value);
      button.click();
    };
    plot.restoring = true;
    for (const axis of axes(plot).filter(name => ranges[name]))
      ranges[axis].forEach((end, place) => set(`${axis}.range[${place}]`, end));
    button.setAttribute('data-attr', 'dragmode');
    button.setAttribute('data-val', 'zoom');
    plot.restoring = false;
  };

  const look = () => {
    for (const plot of document.querySelectorAll('.js-plotly-plot')) {
      if (known.has(plot) || !plot._fullLayout?.xaxis || !plot.on) continue;
      known.add(plot);
      plot.on('plotly_relayout', note(plot));
      plot.on('plotly_doubleclick', () => kept.delete(plot.layout.uirevision));
      const ranges = kept.get(plot.layout.uirevision);
      if (ranges) restore(plot, ranges);
    }
  };
  let asked = 0;
  const watcher = new MutationObserver(() => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(look);
  });
  watcher.observe(document.body, { childList: true, subtree: true });
  look();
  return () => watcher.disconnect();
}
