"""The page `execution` for plain `panel serve dashboards/*.py`; WORKBENCH_DASH_* in the environment say of what."""

from workbench.dash.frame import application
from workbench.dash.settings import DashSettings

application("execution", DashSettings.from_environment())().servable()
