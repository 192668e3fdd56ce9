"""Events out: what an endpoint's workflow calls, the request that carries an event, and the addresses it may go to."""

from activities.webhooks.endpoint_start import start_webhook, start_webhooks
from activities.webhooks.reachable import AddressPolicy, TargetRefused
from activities.webhooks.request import EndpointAnswer, WebhookSender, envelope_of
from activities.webhooks.turns import DeliverEvents, WebhookActivities, WebhookTurn

__all__ = [
    "AddressPolicy",
    "DeliverEvents",
    "EndpointAnswer",
    "TargetRefused",
    "WebhookActivities",
    "WebhookSender",
    "WebhookTurn",
    "envelope_of",
    "start_webhook",
    "start_webhooks",
]
