(() => {
  const KEY = 'workbench-theme', root = document.documentElement, system = matchMedia('(prefers-color-scheme: dark)');
  const chosen = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const show = () => { root.dataset.theme = chosen() || (system.matches ? 'dark' : 'light'); };
  show();
  system.addEventListener('change', show);
  addEventListener('storage', show);
  addEventListener('DOMContentLoaded', () => document.querySelector('.wb-theme').addEventListener('click', () => {
    const next = root.dataset.theme === 'dark' ? 'light' : 'dark';
    try { localStorage.setItem(KEY, next); } catch { /* private windows may forbid it: it holds for this page */ }
    root.dataset.theme = next;
  }));
})();
