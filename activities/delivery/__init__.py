"""Deliveries: claim, render, hand over, decide (MAIL1–MAIL4, MAIL8, T8).

The order of the steps is what makes a delivery neither lost nor doubled: the claim with the rendered bytes is
committed before a socket opens, `handed_over` right before the last byte of the body, the decision after the
server's answer. An attempt that ends in between leaves a row from which the next attempt sees what may have happened.

Several messages of one order go side by side, and share the transaction of each step.
"""

from activities.delivery.mail_activity import MailActivities, SendMail
from activities.delivery.outcome import Outcome

__all__ = ["MailActivities", "Outcome", "SendMail"]
