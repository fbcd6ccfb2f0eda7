"""llmux as a service of the machine: what is written for systemd, launchd and Windows, and the commands for it.

plan      what every one of them needs to know (plan.py)
systemd, launchd, windows   a manager each: the text of the service, and how it is installed, asked for, removed
"""
