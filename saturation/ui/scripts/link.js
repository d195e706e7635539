// A button that copies the link to the exact view, also where the address bar lacks what is at its default.
export default function ({ parentElement, data }) {
  const button = parentElement.querySelector('button');
  const word = button.querySelector('span');
  button.onclick = async () => {
    const link = new URL(location.href);
    link.search = data.query;
    link.hash = '';
    let copied = true;
    try {
      await navigator.clipboard.writeText(link.href);
    } catch {  // no clipboard but over https and on localhost
      const field = document.createElement('textarea');
      field.value = link.href;
      document.body.append(field);
      field.select();
      copied = document.execCommand('copy');
      field.remove();
    }
    word.textContent = copied ? 'Copied' : 'Copy it from the address bar';
    clearTimeout(button.timer);
    button.timer = setTimeout(() => { word.textContent = 'Copy link'; }, 2000);
  };
}
