"""The page `research` for plain `panel serve dashboards/*.py`; WORKBENCH_DASH_* in the environment say of what."""

from workbench.dash.frame import application
from workbench.dash.settings import DashSettings

application("research", DashSettings.from_environment())().servable()
