// Pictures that plotly saves carry title, provenance and link, and at print size their true size. The file is caught
// on its way: plotly clicks a link that downloads it, which is stopped, completed and clicked again.
export default function ({ parentElement }) {
  const own = new WeakSet();
  const table = Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n >>> 0;
  });
  const crc = bytes => ~bytes.reduce((sum, byte) => table[(sum ^ byte) & 255] ^ (sum >>> 8), -1) >>> 0;

  const chunk = (kind, body) => {
    const bytes = new Uint8Array(12 + body.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, body.length);
    bytes.set(new TextEncoder().encode(kind), 4);
    bytes.set(body, 8);
    view.setUint32(8 + body.length, crc(bytes.subarray(4, 8 + body.length)));
    return bytes;
  };

  const png = async (blob, meta) => {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const text = Object.entries(meta).filter(([, value]) => typeof value === 'string').map(([key, value]) =>
      chunk('iTXt', new TextEncoder().encode(`${key}\0\0\0\0\0${value}`)));
    if (meta.dpi && meta.millimetres) {
      const size = new DataView(new ArrayBuffer(9));
      size.setUint32(0, Math.round(meta.dpi / 0.0254));
      size.setUint32(4, Math.round(meta.dpi / 0.0254));
      size.setUint8(8, 1);
      text.unshift(chunk('pHYs', new Uint8Array(size.buffer)));
    }
    const kept = [];
    for (let at = 8; at < bytes.length;) {  // without a density that the browser wrote
      const length = new DataView(bytes.buffer, at).getUint32(0) + 12;
      const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
      if (kind !== 'pHYs' || !meta.dpi) kept.push(bytes.subarray(at, at + length));
      at += length;
    }
    return new Blob([bytes.subarray(0, 8), kept[0], ...text, ...kept.slice(1)], { type: 'image/png' });
  };

  const svg = async (blob, meta) => {
    const tree = new DOMParser().parseFromString(await blob.text(), 'image/svg+xml');
    const root = tree.documentElement;
    const add = (name, text) => {
      const element = tree.createElementNS('http://www.w3.org/2000/svg', name);
      element.textContent = text;
      return element;
    };
    const { Title, ...rest } = meta;
    const words = Object.entries(rest).filter(([, value]) => typeof value === 'string');
    root.prepend(add('title', Title ?? ''), add('desc', words.map(([key, value]) => `${key}: ${value}`).join('\n')));
    const [, , width, height] = (root.getAttribute('viewBox') ?? '').split(/[ ,]+/).map(Number);
    if (meta.millimetres && width) {
      root.removeAttribute('style');
      root.setAttribute('width', `${meta.millimetres}mm`);
      root.setAttribute('height', `${(meta.millimetres * height / width).toFixed(3)}mm`);
    }
    return new Blob([new XMLSerializer().serializeToString(tree)], { type: 'image/svg+xml' });
  };

  const plotOf = name => [...document.querySelectorAll('.js-plotly-plot')].reverse().find(plot => {  // a dialog's is last
    const wanted = plot._context?.toImageButtonOptions?.filename;
    return wanted && (name === `${wanted}.svg` || name === `${wanted}.png`);
  });

  const complete = event => {
    const link = event.target;
    if (!(link instanceof HTMLAnchorElement) || !link.download || own.has(link)) return;
    const meta = plotOf(link.download)?.layout?.meta;
    if (!meta) return;
    event.preventDefault();
    event.stopPropagation();
    const name = link.download;
    const fetched = fetch(link.href).then(answer => answer.blob());  // asked for before plotly takes the address back
    fetched.then(blob => (name.endsWith('.png') ? png : svg)(blob, meta)).then(blob => {
      const again = document.createElement('a');
      own.add(again);
      again.href = URL.createObjectURL(blob);
      again.download = name;
      document.body.append(again);
      again.click();
      again.remove();
      setTimeout(() => URL.revokeObjectURL(again.href), 10000);
    });
  };
  document.addEventListener('click', complete, true);
  return () => document.removeEventListener('click', complete, true);
}
