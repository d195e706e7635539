// Two buttons that save the figure of the same dialog as the browser draws it.
export default function ({ parentElement, data }) {
  const save = kind => {
    const plot = document.querySelector(`.st-key-${data.figure} .js-plotly-plot`);
    const camera = plot?.querySelector('.modebar-btn[data-title^="Download plot"]');
    if (!camera) return;
    const options = plot._context.toImageButtonOptions;
    Object.assign(options, { format: kind, scale: kind === 'png' ? data.png_scale : 1 });
    camera.click();
  };
  const buttons = [...parentElement.querySelectorAll('button')];
  for (const button of buttons) button.onclick = () => save(button.dataset.kind);
}
