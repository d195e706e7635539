// Tells the script when the file of a download button could not be made, on the page or in a dialog over it. The line
// that streamlit writes under the button for five seconds gives no reason, and gives way to the sentence that does.
const seen = new WeakSet();
export default function ({ data, setTriggerValue }) {
  const look = () => {
    for (const note of document.querySelectorAll('[data-testid="stDownloadButtonError"]')) {
      if (seen.has(note) || (data.place === 'dialog') !== Boolean(note.closest('[role="dialog"]'))) continue;
      seen.add(note);
      note.style.display = 'none';
      setTriggerValue('failed', Date.now());
    }
  };
  const observer = new MutationObserver(look);
  observer.observe(document.body, { childList: true, subtree: true });
  look();
  return () => observer.disconnect();
}
