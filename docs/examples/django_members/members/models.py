"""Members, and the outbox that `throughline event relay` sends."""

import uuid

from django.db import models
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils import timezone


class Member(models.Model):
    """A member of the association."""

    number = models.CharField(max_length=64, primary_key=True)
    name = models.CharField(max_length=200)
    email = models.EmailField()
    paid_until = models.DateField()
    country = models.CharField(max_length=2, blank=True)

    class Meta:
        app_label = "members"


class Outbox(models.Model):
    """An event that waits: the columns that the relay reads."""

    number = models.BigAutoField(primary_key=True)
    id = models.UUIDField(default=uuid.uuid4, unique=True)
    type = models.TextField()
    data = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    refused = models.TextField(null=True)

    class Meta:
        app_label = "members"
        db_table = "outbox"
        indexes = (  # the few rows that wait are found at once among millions that were sent
            models.Index(
                fields=["number"],
                name="outbox_waiting",
                condition=models.Q(sent_at__isnull=True, refused__isnull=True),
            ),
        )


def _reports(member: Member, standing: str) -> None:
    data = {"member": member.number, "name": member.name, "email": member.email, "standing": standing}
    data["country"] = member.country or None  # null clears a value, an absent key leaves it
    Outbox.objects.create(type="member.updated", data=data)


@receiver(post_save, sender=Member)
def member_saved(instance: Member, **_: object) -> None:
    """Write the event in the transaction of the change: both are there, or neither."""
    saved = Member.objects.get(pk=instance.pk)  # with values of the database's types
    _reports(saved, "good" if saved.paid_until >= timezone.now().date() else "lapsed")


@receiver(post_delete, sender=Member)
def member_deleted(instance: Member, **_: object) -> None:
    """A member who leaves has lapsed: what runs for them pauses. To forget them is another command."""
    _reports(instance, "lapsed")
