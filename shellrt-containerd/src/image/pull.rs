//! Pulling an image: when the registry is asked, and what the answer is.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use shellrt_api::v0::events::Kind as Event;
use shellrt_api::v0::img_pull::{Phase, Policy, Request, Response};
use shellrt_api::v0::Code;
use shellrt_plugin::event::Events;
use shellrt_plugin::lock::{self, Lock};
use shellrt_plugin::pull::{throttled, Patience, Report};
use shellrt_plugin::registry::{Choice, Client, Digest, Platform, Reference, Settings};

use super::job::{Here, Job, Outcome};
use super::lease;
use super::room::Stores;
use super::{canonical, found, wanted};
use crate::containerd::{Containerd, Place};
use crate::error::Error;
use crate::store::Store;

/// A pull whose request was found to be in order.
#[derive(Debug)]
pub struct Pull {
    store: Store,
    place: Place,
    reference: Reference,
    wanted: Platform,
    policy: Policy,
    settings: Settings,
}

/// How often somebody else may take away what we have just put there.
const TRIES: u32 = 3;

/// How long one look at the lock takes.
const LOOK: Duration = Duration::from_millis(200);

impl Pull {
    /// Checks a request; nothing is looked up yet.
    ///
    /// # Errors
    /// Code 10 for the reference, 2 for the platform and the credentials.
    pub fn new(store: &Store, place: &Place, request: Request) -> Result<Pull, Error> {
        let Request {
            image,
            credentials,
            platform,
            policy,
            progress: _,
        } = request;
        Ok(Pull {
            store: store.clone(),
            place: place.clone(),
            reference: canonical(&image)?,
            wanted: wanted(platform.as_deref())?,
            policy,
            settings: Settings::from_env(&credentials)?,
        })
    }

    /// Pulls. After an error there is no new image; what was downloaded stays for a week.
    ///
    /// # Errors
    /// See [`Error::code`].
    pub fn run(&self, patience: &Patience, report: &mut Report) -> Result<Response, Error> {
        patience.check()?;
        // The patience has the deadline.
        let containerd = Containerd::connect(self.place.clone(), None)?;
        let lock = RefCell::new(None);
        let listener = RefCell::new(throttled(report));
        let listener = |digest: &Digest, current, total, phase: Phase| {
            (listener.borrow_mut())(digest, current, total, phase);
        };
        let pulled = containerd.run("pull the image", async {
            let work = async {
                let stores = Stores::find(&containerd).await?;
                let job = Job {
                    containerd: &containerd,
                    stores: &stores,
                    reference: &self.reference,
                    wanted: &self.wanted,
                    client: None,
                    listener: &listener,
                };
                self.work(job, patience, &lock).await
            };
            tokio::select! {
                done = work => done,
                error = patience.end() => Err(error.into()),
            }
        });
        if let (Err(Error::Pull(_)), Some(_)) = (&pulled, &*lock.borrow()) {
            // What was being unpacked is of no use to the next pull; what was fetched is.
            let undo = containerd.to_undo();
            let tidy = undo.run("remove a snapshot", async {
                lease::tidy(&undo, &self.reference.to_string()).await;
                Ok(())
            });
            if let Err(error) = tidy {
                log::warn!("{error}; the next pull does it");
            }
        }
        if let Some(Err(error)) = lock.into_inner().map(Lock::remove) {
            log::warn!("{error}");
        }
        if pulled.is_ok() {
            let events = Events::new(self.store.root());
            events.record(&self.reference.to_string(), Event::Pulled, None);
        }
        pulled
    }

    async fn work(
        &self,
        job: Job<'_>,
        patience: &Patience,
        lock: &RefCell<Option<Lock>>,
    ) -> Result<Response, Error> {
        if self.policy == Policy::Missing {
            if let Some(here) = job.here(false).await? {
                if let Some(response) = self.use_it(&job, here, patience, lock).await? {
                    return Ok(response);
                }
            }
        }
        let client = Client::new(self.settings.clone());
        let online = Job {
            client: Some(&client),
            ..job
        };
        match self.ask(&online, &client, patience, lock).await {
            Err(error)
                if self.policy == Policy::IfReachable
                    && error.code() == Code::REGISTRY_UNREACHABLE =>
            {
                let offline = Job {
                    client: None,
                    ..online
                };
                let Some(here) = offline.here(false).await? else {
                    return Err(error);
                };
                let Some(mut response) = self.use_it(&offline, here, patience, lock).await? else {
                    return Err(error);
                };
                response.warning = Some(format!("{error}; the image on this machine is used"));
                Ok(response)
            }
            result => result,
        }
    }

    /// Asks the registry what the reference names, and fetches what is not here.
    async fn ask(
        &self,
        job: &Job<'_>,
        client: &Client,
        patience: &Patience,
        lock: &RefCell<Option<Lock>>,
    ) -> Result<Response, Error> {
        // The registry and containerd are asked at the same time.
        let (now, here) = tokio::join!(client.head(&self.reference), job.here(true));
        if let Some(response) = self.again(job, &now?.digest, here?, lock).await? {
            return Ok(response);
        }
        let choice = Choice::platform(self.wanted.clone());
        let image = client.resolve(&self.reference, &choice).await?;
        self.lock(patience, lock)?;
        // Whoever had the lock before may have pulled it.
        let here = job.here(true).await?;
        if let Some(response) = self.again(job, image.digest(), here, lock).await? {
            return Ok(response);
        }
        for _ in 1..TRIES {
            match job.run(&image).await {
                Err(error) if error.is_not_found() => log::warn!("{error}; once more"),
                Ok(Outcome::Damaged(_)) => {}
                outcome => return self.pulled(outcome?),
            }
        }
        self.pulled(job.run(&image).await?)
    }

    fn pulled(&self, outcome: Outcome) -> Result<Response, Error> {
        match outcome {
            Outcome::Done(response) => Ok(*response),
            Outcome::Missing => Err(Error::ImageNotFound(self.reference.to_string())),
            Outcome::Damaged(error) => Err(error),
        }
    }

    /// The image is here and is what the registry would give: only that it was asked for again is
    /// written down. `None`: it is not, or not whole.
    async fn again(
        &self,
        job: &Job<'_>,
        now: &Digest,
        here: Option<Here>,
        lock: &RefCell<Option<Lock>>,
    ) -> Result<Option<Response>, Error> {
        let is_it = |here: &Here| here.is_complete && here.record.target.digest == *now;
        let Some(here) = here.filter(is_it) else {
            return Ok(None);
        };
        let name = self.reference.to_string();
        if lock.borrow().is_none() {
            *lock.borrow_mut() = Lock::try_exclusive(&self.store.pull_lock(&lease::id(&name)))?;
        }
        // Somebody who has the lock may be about to change the record; then the time does not matter.
        if lock.borrow().is_some() {
            let known = found::record(job.containerd, &name).await?;
            if known.is_some_and(|known| known.target.digest == *now) {
                found::rewrite(job.containerd, &name, &here.record.target).await?;
            }
            lease::forget(job.containerd, &name).await?;
        }
        Ok(Some(here.response(job.listener)))
    }

    /// Makes do with what is here, unpacked where it is not. `None`: something is missing.
    async fn use_it(
        &self,
        job: &Job<'_>,
        here: Here,
        patience: &Patience,
        lock: &RefCell<Option<Lock>>,
    ) -> Result<Option<Response>, Error> {
        if here.is_complete {
            return Ok(Some(here.response(job.listener)));
        }
        self.lock(patience, lock)?;
        match job.run(&here.documents.image).await {
            Ok(Outcome::Done(response)) => Ok(Some(*response)),
            Ok(Outcome::Missing | Outcome::Damaged(_)) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until nobody else pulls this image.
    fn lock(&self, patience: &Patience, lock: &RefCell<Option<Lock>>) -> Result<(), Error> {
        let path = self
            .store
            .pull_lock(&lease::id(&self.reference.to_string()));
        while lock.borrow().is_none() {
            patience.check()?;
            match Lock::exclusive(&path, Some(Instant::now() + LOOK)) {
                Ok(taken) => *lock.borrow_mut() = Some(taken),
                Err(lock::Error::Timeout { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
