(() => {
  const UNANSWERED = 20000;
  let lost = false;
  const probe = async () => {
    try {
      if ((await fetch('favicon.ico', { cache: 'no-store' })).ok) return location.reload();
    } catch { /* the server is still away */ }
    setTimeout(probe, 1000);
  };
  const lose = () => {
    if (lost) return;
    lost = true;
    document.documentElement.classList.add('lost');
    probe();
  };
  const started = Date.now();
  const follow = () => {
    const page = window.Bokeh && Bokeh.documents[0];
    if (page) return page.on_event('connection_lost', lose);
    if (Date.now() - started > UNANSWERED) return lose();
    setTimeout(follow, 100);
  };
  addEventListener('beforeunload', () => { lost = true; });
  follow();
})();
