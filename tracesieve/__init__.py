"""The application: command line, config, the run, alerts, datasets and analysis over the other packages."""
