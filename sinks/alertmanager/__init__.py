"""Alertmanager: its part of the config, one instance of it over HTTP, and the sink that serves them all."""

from sinks.alertmanager.config import AlertmanagerConfig
from sinks.alertmanager.sink import Alertmanager

__all__ = ["Alertmanager", "AlertmanagerConfig"]
