"""The research job: from bars to an honest backtest and its report, step by step, in one workspace folder."""
