"""Panel dashboards: what live systems believe, hold and do, the research behind them, and what execution cost."""
